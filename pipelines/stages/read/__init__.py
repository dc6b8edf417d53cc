"""Raw records to rows: sources, formats, shapes, and records that belong together."""
