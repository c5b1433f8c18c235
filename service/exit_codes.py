"""The exit codes of our programs.

`polar` and its commands end with 0 if all went well, and otherwise with a code of the first group.
A command that was stopped by a signal ends with SIGNALLED + the number of the signal. Agents and
children end with 0 or with a code of the second group, migrations with 0, FAILED or LOCKED.
"""

import signal

#: Something did not succeed: a run, a study, a check of data, a process of the stack.
FAILED = 1
#: The input is not valid, or the service refused the request; the message says what is allowed.
REFUSED = 2
#: No service answers.
UNREACHABLE = 3
SIGNALLED = 128
#: The user pressed Ctrl-C.
INTERRUPTED = SIGNALLED + signal.SIGINT

#: The agent cannot go on and should be restarted.
AGENT_ENDED = 1
#: The agent's run has another owner; the agent should be restarted.
AGENT_FENCED = 79
#: The child failed and reported why.
CHILD_FAILED = 65
#: The child's agent is gone.
CHILD_ORPHANED = 70
#: The child's agent, or somebody else, told it to stop.
CHILD_STOPPED = 75

#: Others use the tables that a migration changes; it may be tried again.
LOCKED = 75
