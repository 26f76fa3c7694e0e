"""The command that simulates a federation."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.commands.options import Json, Result, Track

EXAMPLES = (
    "fedgrass simulate my-federation --data shards",
    "fedgrass simulate my-federation --data people.csv --clients 100 --split dirichlet:0.3 --rounds 50",
    "fedgrass simulate my-federation --set training.learning_rate=0.01 --set averaging.rule=median --out runs/median",
    "fedgrass simulate my-federation --out runs/median --resume",
    "fedgrass simulate my-federation --devices devices.jsonl --backend processes --workers 4 --json",
)


def simulate(
    project: Annotated[Path, typer.Argument(metavar="DIR", help="A federation.yaml, or the folder it lies in.")],
    data: Annotated[
        Path | None,
        typer.Option(help="A folder a client, or data to split among clients; default: DIR/data."),
    ] = None,
    clients: Annotated[int | None, typer.Option(min=1, help="How many clients; default: all that there are.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="How many rounds; default: federation.yaml's.")] = None,
    split: Annotated[
        str | None, typer.Option(help="How data is split among clients: iid, labels:K, dirichlet:ALPHA or by:COLUMN.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split, and of whether devices answer.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A field of federation.yaml, such as training.steps=3."),
    ] = None,
    devices: Annotated[
        Path | None, typer.Option(help="How fast clients are, and whether they answer: a line of JSON a client.")
    ] = None,
    backend: Annotated[
        Literal["auto", "loop", "processes", "vectorized"],
        typer.Option(
            help="What computes; auto: loop or processes, what is soonest done. vectorized trains many at once, "
            "and rounds otherwise."
        ),
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="How many processes compute, or threads of vectorized.")
    ] = None,
    evaluate_every: Annotated[int, typer.Option(min=1, help="Score each so many rounds' model on held-out data.")] = 1,
    out: Annotated[Path | None, typer.Option(help="The run folder; default: a new one in runs/.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run folder that --out names.")] = False,
    track: Track = None,
    as_json: Json = False,
) -> Result:
    """Simulate a federation of many clients, without AWS.

    The same task, settings, policies and arithmetic as on a fleet: the same seed gives the same model.
    """
    from cli.project import load
    from cli.screen import Screen
    from cli.settings.given_options import GivenOption, parse_set

    if resume and out is None:
        raise typer.BadParameter("--resume goes on with a run folder: name it by --out")
    given = [parse_set(text) for text in settings or []]
    if rounds is not None:
        given.append(GivenOption(f"--rounds {rounds}", ("rounds",), rounds))
    checked = load(project, given)

    from cli.free_folder import free_run_folder
    from cli.run_report import show_closing
    from cli.simulating import simulate as run
    from cli.simulation_inputs import Options
    from simulation.stopping import SimulationStoppedError

    screen = Screen(stderr=as_json)
    place = out or free_run_folder(checked.settings.name)
    options = Options(
        data=data,
        clients=clients,
        split=split,
        seed=seed,
        devices=devices,
        backend=backend,
        workers=workers,
        evaluate_every=evaluate_every,
        out=place,
        resume=resume,
        track=track,
    )
    try:
        simulated = run(checked, options, screen)
    except SimulationStoppedError:
        told = f"interrupted: what there is, is in {place}; to go on, add --out {place} --resume to the command"
        raise KeyboardInterrupt(told) from None
    show_closing(screen, place)
    return simulated
