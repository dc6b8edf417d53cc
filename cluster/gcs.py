"""Asking the GCS of a Ray cluster, which knows of its nodes and tasks, who it is.

Why: any answer is a sign of life. Ray itself asks on for minutes, whatever the answer is; and a connection
alone says little: the kernel of a head takes it for a GCS that is stopped, or hangs.

Cost: a connection and a message of a few bytes, some milliseconds.
"""

import logging
import os
import socket

from ray.exceptions import AuthenticationError

METHOD = "/ray.rpc.NodeInfoGcsService/GetClusterId"


def ask(address: str, seconds: float) -> None:
    """Wait for the answer of the GCS at ``host:port``; where the cluster speaks TLS, for a connection.

    Raises: ConnectionError where nobody answers, AuthenticationError.
    """
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
        except OSError as error:
            raise ConnectionError(type(error).__name__) from error
        return
    import grpc  # type: ignore[import-untyped]
    from ray._private.authentication import authentication_token_setup as setup
    from ray._private.authentication import grpc_authentication_client_interceptor as tokens

    # As Ray itself does before it joins: where no mode is set, a token that is there is used.
    logging.getLogger(setup.__name__).setLevel(logging.ERROR)
    setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)

    # A pool of its own: one that is shared waits longer and longer before it connects again.
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(address, options=options) as channel:
        metadata = tokens._get_authentication_metadata_tuple()
        try:
            channel.unary_unary(METHOD)(b"", timeout=seconds, wait_for_ready=False, metadata=metadata)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                raise AuthenticationError("the GCS refuses the token") from error
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise ConnectionError(error.code().name) from error
