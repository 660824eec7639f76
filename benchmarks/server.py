"""A Kubecost API that answers every question with one file, in a process of its own."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class _Handler(BaseHTTPRequestHandler):
    answer = Path()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(self.answer.stat().st_size))
        self.end_headers()
        with self.answer.open("rb") as file:
            try:
                shutil.copyfileobj(file, self.wfile, 1 << 20)
            except ConnectionError:  # The probe hangs up once it knows who answers.
                self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass


@contextmanager
def serve(answer: Path) -> Iterator[str]:
    """Serve the file for as long as the context lasts; yield the endpoint."""
    command = [sys.executable, "-m", "benchmarks.server", str(answer)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def main() -> None:
    """Serve the file that the command line names, and say on which port."""
    _Handler.answer = Path(sys.argv[1])
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
