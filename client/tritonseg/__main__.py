"""`python -m tritonseg`: the command `tritonseg`, where its folder is not on the PATH.

The command is found as the installer would find it: the client itself knows nothing of building.
"""

from importlib.metadata import distribution

if __name__ == "__main__":
    (_command,) = distribution("tritonseg").entry_points.select(
        group="console_scripts", name="tritonseg"
    )
    _command.load()()
