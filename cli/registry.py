"""The commands, in the order in which they are listed. A command's module is imported when the command is given, or
listed; so it imports what is heavy (boto3, numpy, rich, torch) where it uses it."""

from collections.abc import Sequence

SECTIONS: dict[str, dict[str, str]] = {
    "On this machine": {
        "new": "cli.commands.new",
        "check": "cli.commands.check",
        "split": "cli.commands.split",
        "demo": "cli.commands.local",
        "run": "cli.commands.run",
        "simulate": "cli.commands.simulate",
        "experiment": "cli.commands.experiment",
        "sandbox up": "cli.commands.sandbox",
        "sandbox down": "cli.commands.sandbox",
        "sandbox status": "cli.commands.sandbox",
    },
    "Your AWS account": {
        "plan": "cli.commands.plan",
        "wheelhouse": "cli.commands.wheelhouse",
        "deploy cloud": "cli.commands.deploy",
        "deploy fleet": "cli.commands.deploy_fleet",
        "destroy": "cli.commands.destroy",
        "doctor": "cli.commands.doctor",
    },
    "A federation": {
        "init": "cli.commands.init",
        "start": "cli.commands.rounds",
        "status": "cli.commands.status",
        "timeline": "cli.commands.status",
        "watch": "cli.commands.watch",
        "dashboard": "cli.commands.dashboard",
        "history": "cli.commands.history",
        "report": "cli.commands.report",
        "fetch": "cli.commands.fetch",
        "pause": "cli.commands.rounds",
        "resume": "cli.commands.rounds",
        "abort-round": "cli.commands.rounds",
        "rollback": "cli.commands.rounds",
        "update": "cli.commands.update",
        "publish-model": "cli.commands.publish",
    },
    "Its devices": {
        "clients": "cli.commands.clients",
        "logs": "cli.commands.logs",
        "forget": "cli.commands.forget",
        "expel": "cli.commands.devices",
        "readmit": "cli.commands.devices",
        "what-leaves": "cli.commands.local",
    },
}
"""Section -> command -> the module of its function, whose name is the last word of the command. A command of two words
is one of a group: what they share is listed by the first word."""

COMMANDS = {command: module for commands in SECTIONS.values() for command, module in commands.items()}


def command_in(words: Sequence[str]) -> str | None:
    """The command that is meant by what was typed, as far as that can be told."""
    plain = [word for word in words if not word.startswith("-")]
    return next((known for count in (2, 1) if (known := " ".join(plain[:count])) in COMMANDS), None)
