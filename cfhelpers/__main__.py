"""``python -m cfhelpers``; starts with nothing but Python's own library."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this may not have read which Python is needed
    sys.exit(
        "The course needs Python 3.11 or newer; this is {}.{}. With conda: conda env create -f environment.yml".format(
            *sys.version_info
        )
    )

from cfhelpers.course.commands import main

if __name__ == "__main__":
    sys.exit(main())
