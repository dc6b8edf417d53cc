"""Raw text shards in; clean, private, duplicate-free packed tokens and an evaluated adapter out.

The folders lie beside this one and are linked into it: `headrace.pipelines` (what happens to a row) stands on
`headrace.cluster` (where things run and rest) and `headrace.kernels` (arrays).
"""
