"""An app's settings, read from its environment."""

import re
from collections.abc import Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict


class ConfigError(Exception):
    """The environment is incomplete or wrong; the text names every problem at once."""

    def __init__(self, app: str, problems: list[str]) -> None:
        super().__init__("\n  - ".join([f"{app} cannot start:", *problems]))


class Settings:
    """Each setting as it is asked for; what is wrong with it is noted, not raised."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, name: str) -> str:
        value = self._environ.get(name, "").strip()
        try:
            value.encode()
        except UnicodeEncodeError:  # bytes that are no text
            self.problems.append(f"{name} is not UTF-8.")
            return value.encode(errors="replace").decode()
        return value

    def whole_number(self, name: str, default: int, most: int) -> int:
        value = self.text(name) or str(default)
        if re.fullmatch(r"[0-9]{1,6}", value) and 1 <= int(value) <= most:
            return int(value)
        self.problems.append(f"{name} must be a whole number from 1 to {most}.")
        return default

    def database_url(self, role: str) -> str:
        url = self.text("DATABASE_URL")
        if not url:
            self.problems.append(f"DATABASE_URL is missing: give it postgresql://{role}:…@host/db.")
        else:
            try:
                found = conninfo_to_dict(url)
            except psycopg.ProgrammingError:  # its message may show the password: not passed on
                self.problems.append(
                    f"DATABASE_URL is no PostgreSQL address: postgresql://{role}:…@host/db."
                )
            else:
                # A rest of the password, which each connection that fails would show in the log.
                port = str(found.get("port") or "")
                host = str(found.get("host") or "")  # or sockets without a file, which begin with @
                if re.search(r"[^,]@", host) or not re.fullmatch(r"[0-9,]*", port):
                    self.problems.append(
                        "DATABASE_URL has no such host and port: in its password, @ is written %40,"
                        " / is %2F."
                    )
        return url
