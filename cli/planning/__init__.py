"""What a round will take: invocations, calls, time, memory and dollars, before there is one."""
