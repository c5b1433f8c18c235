"""The exit codes of our programs.

`polar` and its commands end with 0 where all went well, and else with one of the first group; a
command that was stopped by a signal ends with SIGNALLED + the number of the signal. Agents and
children end with 0 or with one of the second group.
"""

import signal

#: Something did not succeed: a run, a study, a check of data, a process of the stack.
FAILED = 1
#: The input, or the service, refused what was asked; the message says what is allowed.
REFUSED = 2
#: No service answers.
UNREACHABLE = 3
SIGNALLED = 128
#: Ctrl-C.
INTERRUPTED = SIGNALLED + signal.SIGINT

#: The agent cannot go on; start it anew.
AGENT_ENDED = 1
#: The agent's run has another owner; start the agent anew.
AGENT_FENCED = 79
#: The child said why it failed.
CHILD_FAILED = 65
#: The child's agent is gone.
CHILD_ORPHANED = 70
#: The child's agent, or somebody else, told it to stop.
CHILD_STOPPED = 75
