"""``python -m examples.flask_app``, from the folder of the project."""

from .app import main

main()
