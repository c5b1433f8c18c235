"""What every connection to our databases asks for, so that neither end waits in vain.

A network that drops everything without a word leaves connections that look alive for hours: the
client waits for an answer, and the server keeps the locks of a client that is gone.
"""

from typing import Any

#: Seconds until a silent connection is tried, between two tries, and the number of tries.
IDLE_S, INTERVAL_S, TRIES = 5, 3, 3
#: How long what was sent may stay unconfirmed; there are no tries meanwhile.
UNCONFIRMED_MS = 15_000


def connect_args(*settings: str, timeout_s: int = 5) -> dict[str, Any]:
    """Arguments of `psycopg.connect` by which both ends notice within 15 s that the other is lost.

    Args:
        settings: Settings of the session besides, as `name=value`.
        timeout_s: How long connecting may take.
    """
    of_server = (
        f"tcp_keepalives_idle={IDLE_S}",
        f"tcp_keepalives_interval={INTERVAL_S}",
        f"tcp_keepalives_count={TRIES}",
        f"tcp_user_timeout={UNCONFIRMED_MS}",
    )
    return {
        "connect_timeout": timeout_s,
        "keepalives_idle": IDLE_S,
        "keepalives_interval": INTERVAL_S,
        "keepalives_count": TRIES,
        "tcp_user_timeout": UNCONFIRMED_MS,
        "options": " ".join(f"-c {setting}" for setting in (*settings, *of_server)),
    }
