"""`python -m detic_crop` is `detic-crop`."""

import sys

from detic_crop.cli.main import main

sys.exit(main())
