"""Run the app: ``python -m examples.flask_app`` in the root folder of the project."""

from .app import main

main()
