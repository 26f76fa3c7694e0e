"""All kinds of errors that a user can do something about. The error of a class that is not here has the kind of the
nearest class above it; what has none is a bug of fedgrass."""

from cli.errors.aws import AWS_KINDS
from cli.errors.kind import ExitCode, Kind

FAILED, USAGE = ExitCode.FAILED, ExitCode.WRONG_USAGE
UNREACHABLE, TIMED_OUT = ExitCode.UNREACHABLE, ExitCode.TIMED_OUT

INTERRUPTED = Kind(
    "interrupted",
    ExitCode.INTERRUPTED,
    "Ctrl-C, SIGTERM or SIGHUP",
    ("builtins.KeyboardInterrupt", "typer.exceptions.Abort", "simulation.stopping.SimulationStoppedError"),
)
INTERNAL = Kind("internal_error", FAILED, "a bug of fedgrass; the trace is on standard error")

_OF_FEDGRASS = (
    Kind(
        "wrong_usage",
        USAGE,
        "no such command or option, or a value that it can't have",
        ("typer.exceptions.TyperException",),
    ),
    Kind(
        "invalid_project",
        USAGE,
        "federation.yaml, or what it names, is missing or wrong",
        ("cli.project.ProjectError",),
    ),
    Kind(
        "invalid_task", USAGE, "the folder of task.py can't go to devices", ("components.task_folder.TaskFolderError",)
    ),
    Kind("invalid_policies", USAGE, "policies.py is wrong", ("cloud.custom_policies.InvalidPolicyError",)),
    Kind(
        "check_failed",
        USAGE,
        "`fedgrass check` finds errors in federation.yaml, task.py, policies.py or the data",
        ("cli.checking.checks.CheckFailedError",),
    ),
    Kind(
        "task_failed",
        USAGE,
        "task.py fails, or takes too long, on this machine, or makes no model that devices could train",
        (
            "sandbox.scoring.ScoringError",
            "components.client.trainer.task.loading.TaskError",
            "components.client.trainer.model.travelling_tensors.UnsupportedModelError",
            "cli.initial_model.InitialModelError",
        ),
    ),
    Kind(
        "invalid_option",
        USAGE,
        "--set gives no field of federation.yaml a value",
        ("cli.settings.given_options.InvalidOptionError",),
    ),
    Kind("invalid_devices", USAGE, "a file of devices is wrong", ("simulation.devices.DevicesError",)),
    Kind(
        "no_saved_simulation",
        USAGE,
        "there is no simulation to go on with",
        ("simulation.saved_state.NoSavedStateError",),
    ),
    Kind(
        "other_simulation",
        USAGE,
        "the simulation to go on with is another one",
        ("simulation.saved_state.OtherSimulationError",),
    ),
    Kind(
        "invalid_experiment",
        USAGE,
        "the file of an experiment, or one of its combinations, is wrong",
        ("cli.experiments.experiment_file.ExperimentFileError",),
    ),
    Kind(
        "other_runs",
        USAGE,
        "an experiment's folder has runs of other settings, data or code",
        ("cli.experiments.standing.OtherRunsError",),
    ),
    Kind("invalid_name", USAGE, "no federation or thing can have this name", ("protocol.names.InvalidNameError",)),
    Kind(
        "unknown_federation",
        USAGE,
        "the stack has no federation of this name",
        ("cloud.state.federations.UnknownFederationError",),
    ),
    Kind("unknown_round", USAGE, "the federation has had no such round", ("cloud.state.rounds.UnknownRoundError",)),
    Kind("unknown_thing", USAGE, "AWS IoT has no thing of this name", ("operations.expulsion.UnknownThingError",)),
    Kind(
        "unknown_client",
        USAGE,
        "the federation has no client of this name",
        ("operations.forgetting.UnknownClientError",),
    ),
    Kind(
        "invalid_condition",
        USAGE,
        "no condition on clients, or no column of theirs",
        ("cli.client_list.InvalidConditionError",),
    ),
    Kind("unknown_role", USAGE, "the account has no role of this name", ("operations.fleets.access.UnknownRoleError",)),
    Kind("unknown_region", USAGE, "no prices of this Region are known", ("cloud.pricing.prices.UnknownRegionError",)),
    Kind(
        "invalid_stack_name",
        USAGE,
        "no bucket can be named after a stack of this name",
        ("operations.stack_names.UnusableStackNameError",),
    ),
    Kind(
        "invalid_configuration",
        USAGE,
        "the file of --config has a key or a value that the components do not take",
        (
            "cli.fleet_configuration.ConfigurationFileError",
            "operations.fleets.rollout.UninterpolatedError",
        ),
    ),
    Kind("fixed_setting", USAGE, "a federation keeps it for life", ("operations.settings_update.FixedSettingError",)),
    Kind(
        "invalid_component",
        USAGE,
        "no component can have this name or version",
        ("operations.model_publication.InvalidComponentError",),
    ),
    Kind(
        "version_taken",
        USAGE,
        "the component has this version already, with another model",
        ("operations.model_publication.VersionTakenError",),
    ),
    Kind(
        "publication_failed",
        FAILED,
        "AWS IoT Greengrass does not take the component version",
        ("operations.model_publication.PublicationError",),
    ),
    Kind(
        "not_exported",
        USAGE,
        "torch.export can't write the network, or the model is not of it",
        ("cli.exported_model.ExportError",),
    ),
    Kind("invalid_model", USAGE, "no file of a model", ("protocol.tensors.InvalidTensorsError",)),
    Kind(
        "too_much_work", USAGE, "a model too large for one function", ("cloud.averager.work.sharding.TooMuchWorkError",)
    ),
    Kind("invalid_data", USAGE, "data that can't be read", ("cli.datasets.dataset.DatasetError",)),
    Kind("unknown_column", USAGE, "the data have no column of this name", ("cli.datasets.dataset.UnknownColumnError",)),
    Kind("invalid_client_data", USAGE, "no folder for each client", ("cli.client_data.ClientDataError",)),
    Kind("invalid_split", USAGE, "no way to split data has this name", ("cli.datasets.splitting.InvalidSplitError",)),
    Kind("impossible_split", USAGE, "the data can't be split so", ("cli.datasets.splitting.ImpossibleSplitError",)),
    Kind(
        "folder_not_empty",
        USAGE,
        "something is in the folder already",
        (
            "cli.datasets.writing.OutputInUseError",
            "components.runtime.wheelhouse.WheelhouseInUseError",
            "sandbox.kept_files.KeptFolderInUseError",
        ),
    ),
    Kind(
        "project_folder_in_use",
        USAGE,
        "something is in the new project's folder already",
        ("cli.new_project.ProjectFolderInUseError",),
    ),
    Kind("make_data_failed", FAILED, "make_data.py of the new project fails", ("cli.new_project.MakeDataError",)),
    Kind(
        "data_not_written",
        FAILED,
        "clients' data can't be written: a full disk, for example",
        ("cli.datasets.writing.UnwritableOutputError",),
    ),
    Kind(
        "run_folder_exists", USAGE, "a run is in the folder already", ("reporting.folder_access.RunFolderExistsError",)
    ),
    Kind("no_run_folder", USAGE, "no run is in the folder", ("reporting.run_folder.NoRunFolderError",)),
    Kind(
        "missing_tracker",
        USAGE,
        "the experiment tracker's package is not installed",
        ("reporting.tracking.MissingTrackerError",),
    ),
    Kind("unknown_metric", USAGE, "no round has a metric of this name", ("cli.history.UnknownMetricError",)),
    Kind(
        "no_work_directory",
        USAGE,
        "no such work directory of a device",
        ("components.client.what_leaves.NoWorkDirectoryError",),
    ),
    Kind(
        "impossible_chaos", USAGE, "too few devices or rounds for all faults", ("sandbox.faults.ImpossibleChaosError",)
    ),
    Kind(
        "path_too_long",
        USAGE,
        "a socket's path is too long: set TMPDIR",
        ("sandbox.nucleus.ipc.SocketPathTooLongError",),
    ),
    Kind(
        "port_taken",
        USAGE,
        "another program listens on the port",
        ("sandbox.embedded_aws.PortTakenError", "cli.dashboard.server.PortInUseError"),
    ),
    Kind(
        "not_ready", FAILED, "the deployment does not have what the federation needs", ("cli.preflight.NotReadyError",)
    ),
    Kind(
        "unknown_thing_group",
        FAILED,
        "the federation's thing group is not made yet",
        ("cli.preflight.UnknownGroupError", "operations.fleets.groups.UnknownGroupError"),
    ),
    Kind(
        "federation_exists",
        FAILED,
        "the stack has a federation of this name",
        ("cloud.state.federations.FederationExistsError",),
    ),
    Kind(
        "wrong_status",
        FAILED,
        "not in the status that the federation has",
        ("cloud.state.federations.WrongStatusError",),
    ),
    Kind(
        "changed_meanwhile", FAILED, "others changed it meanwhile", ("cloud.state.federations.ChangedMeanwhileError",)
    ),
    Kind("no_round_under_way", FAILED, "there is no round to end", ("operations.control.NoRoundError",)),
    Kind("round_under_way", FAILED, "not before the round has ended", ("operations.control.RoundUnderWayError",)),
    Kind("simulation_failed", FAILED, "no round made a model", ("cli.simulating.SimulationFailedError",)),
    Kind("runs_failed", FAILED, "some runs of an experiment failed", ("cli.experiments.experiment.RunsFailedError",)),
    Kind("workers_failed", FAILED, "processes can't compute", ("simulation.processes.WorkersError",)),
    Kind(
        "not_enough_clients",
        FAILED,
        "fewer clients than a round needs",
        ("cloud.initiator.selection.cohort.NotEnoughClientsError",),
    ),
    Kind("no_model", FAILED, "the round made no model", ("operations.control.NoModelError",)),
    Kind(
        "corrupt_record", FAILED, "a record in DynamoDB that can't be read", ("cloud.state.records.CorruptRecordError",)
    ),
    Kind(
        "invalid_message", FAILED, "what one part wrote, another can't read", ("protocol.messages.InvalidMessageError",)
    ),
    Kind(
        "torn_file",
        FAILED,
        "a device's file that was not written to its end",
        ("components.client.sealed.TornFileError",),
    ),
    Kind(
        "deployment_failed",
        FAILED,
        "CloudFormation or S3 refused the stack",
        ("operations.stack_steps.DeploymentError",),
    ),
    Kind(
        "packaging_failed",
        FAILED,
        "pip could not get what the functions need",
        ("operations.packaging.PackagingError",),
    ),
    Kind(
        "wheelhouse_failed",
        FAILED,
        "pip could not get the packages of devices",
        ("components.runtime.wheelhouse.WheelhouseError",),
    ),
    Kind(
        "not_published",
        FAILED,
        "AWS IoT Greengrass does not have the component, or not this version",
        ("operations.fleets.published.NotPublishedError",),
    ),
    Kind(
        "too_few_canaries",
        FAILED,
        "not so many devices can get a deployment first",
        ("operations.fleets.canaries.TooFewCanariesError",),
    ),
    Kind(
        "fleet_failed",
        FAILED,
        "a deployment has failed on devices",
        ("cli.fleet_rollout.DeploymentFailedError",),
    ),
    Kind("build_failed", FAILED, "a component can't be built", ("components.task_folder.BuildError",)),
    Kind("component_broken", FAILED, "a device has given up on the component", ("sandbox.fleet.ComponentBrokenError",)),
    Kind("no_round_closed", FAILED, "no round made a model", ("cli.run_failures.NoRoundClosedError",)),
    Kind(
        "rounds_failed", FAILED, "more than half of the rounds made no model", ("cli.run_failures.RoundsFailedError",)
    ),
    Kind(
        "devices_failed",
        FAILED,
        "more than half of the devices failed in the last round",
        ("cli.run_failures.DevicesFailedError",),
    ),
    Kind("faults_not_survived", FAILED, "not all that --chaos did was survived", ("cli.chaos.NotSurvivedError",)),
    Kind(
        "something_wrong",
        FAILED,
        "`fedgrass doctor` has found something that is not as it has to be",
        ("cli.commands.doctor.SomethingWrongError",),
    ),
    Kind("steps_remain", FAILED, "some steps could not be taken", ("cli.commands.devices.StepsRemainError",)),
    Kind("run_folder_in_use", FAILED, "another run writes there", ("reporting.folder_access.RunFolderInUseError",)),
    Kind(
        "run_folder_not_written",
        FAILED,
        "a run's files can't be written",
        ("reporting.folder_access.RunFolderWriteError", "sandbox.kept_files.KeptFolderWriteError"),
    ),
    Kind("corrupt_run_folder", FAILED, "a run's files can't be read", ("reporting.run_folder.CorruptRunFolderError",)),
    Kind(
        "not_enough_memory",
        FAILED,
        "more devices than this machine has memory for",
        ("cli.memory_need.NotEnoughMemoryError",),
    ),
    Kind("sandbox_up", FAILED, "a sandbox of this name is up", ("cli.sandboxes.place.SandboxUpError",)),
    Kind(
        "sandbox_lost",
        FAILED,
        "the process of a sandbox has ended",
        ("cli.sandboxes.background.SandboxLostError",),
    ),
    Kind("output_closed", FAILED, "nobody reads what is printed any more", ("builtins.BrokenPipeError",)),
    Kind("file_not_found", USAGE, "no such file or folder", ("builtins.FileNotFoundError",)),
    Kind(
        "file_in_the_way",
        USAGE,
        "a file or folder of this name is there",
        ("builtins.FileExistsError", "builtins.NotADirectoryError", "builtins.IsADirectoryError"),
    ),
    Kind("file_not_permitted", USAGE, "a file or folder that you may not read or write", ("builtins.PermissionError",)),
    Kind("os_error", FAILED, "the operating system refused: a full disk, for example", ("builtins.OSError",)),
    Kind(
        "no_stack",
        UNREACHABLE,
        "no stack of this name, or one that fedgrass has not made",
        ("operations.deployment.NoStackError",),
    ),
    Kind("connection_failed", UNREACHABLE, "a connection that is refused or cut", ("builtins.ConnectionError",)),
    Kind(
        "embedded_aws_failed",
        UNREACHABLE,
        "the embedded AWS does not start, or has ended",
        ("sandbox.embedded_aws.EmbeddedAwsError", "sandbox.mqtt_listener.ConsoleError"),
    ),
    Kind(
        "timed_out",
        TIMED_OUT,
        "longer than it may take",
        ("builtins.TimeoutError", "sandbox.polling.NothingHappenedError"),
    ),
    Kind(
        "fleet_unfinished",
        TIMED_OUT,
        "a deployment has not ended on all devices yet; it goes on",
        ("cli.fleet_rollout.DeploymentUnfinishedError",),
    ),
    Kind("devices_offline", TIMED_OUT, "devices have not connected in time", ("sandbox.fleet.DevicesOfflineError",)),
    Kind("run_timed_out", TIMED_OUT, "devices or rounds were silent for too long", ("sandbox.federated_run.RunError",)),
)

KINDS = (*_OF_FEDGRASS, *AWS_KINDS, INTERRUPTED, INTERNAL)
