"""A hot standby of a test's cluster."""

import subprocess

from stack.postgres import AS_POSTGRES, SUPERUSER, Cluster, binary


class Standby(Cluster):
    """A streaming replica of another cluster."""

    def __init__(self, primary: Cluster) -> None:
        self.primary = primary
        super().__init__()

    def initialize_database(self) -> None:
        command = [*AS_POSTGRES, binary("pg_basebackup"), "-D", self.get_data_directory(), "-R"]
        command += ["-d", self.primary.dsn(SUPERUSER), "--checkpoint=fast", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd="/")

    def poststart(self) -> None:
        pass  # what a primary is given came with the copy
