"""Every error a user can cause.

RestoreError            the message is complete: the CLI prints it, no traceback, exit 2
- PipelineFileError     a pipeline file is wrong: names file, table and key of every fault
- InputError            the input file cannot be restored: names the file and what was found
- OutputError           the result cannot be written there, or would lose something
- StageError            a stage broke its contract: names the stage's table
- ModelError            weights or their card are missing, damaged or of another shape
- DeviceError           the device asked for is not here
- TrainError            a training recipe or its data is wrong
- EvaluateError         what is to be scored, or by what, is missing or wrong

An address comes first ('file: table: key: ...'), then what was expected, what was found, and what to try.
"""


class RestoreError(Exception):
    """Base of all user-facing errors; `str(error)` is what the user reads."""


class PipelineFileError(RestoreError):
    """One line per fault."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class InputError(RestoreError):
    pass


class OutputError(RestoreError):
    pass


class StageError(RestoreError):
    pass


class ModelError(RestoreError):
    pass


class DeviceError(RestoreError):
    pass


class TrainError(RestoreError):
    pass


class EvaluateError(RestoreError):
    pass
