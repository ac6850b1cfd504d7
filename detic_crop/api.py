"""What a user of the library calls; each verb is a module of `commands`, where its story is told."""

from detic_crop.commands.apply import apply as apply
from detic_crop.commands.audit import read_audit as read_audit
from detic_crop.commands.audit import write_audit as write_audit
from detic_crop.commands.compare import CompareResult as CompareResult
from detic_crop.commands.compare import compare as compare
from detic_crop.commands.crop_photo import CropResult as CropResult
from detic_crop.commands.crop_photo import crop_photo as crop_photo
from detic_crop.commands.export import ExportResult as ExportResult
from detic_crop.commands.export import export as export
from detic_crop.commands.merge import merge as merge
from detic_crop.commands.recrop import recrop as recrop
from detic_crop.commands.result import ApplyResult as ApplyResult
from detic_crop.commands.result import RunResult as RunResult
from detic_crop.commands.review import ReviewResult as ReviewResult
from detic_crop.commands.review import review as review
from detic_crop.commands.run import run as run
from detic_crop.commands.show import ContactSheet as ContactSheet
from detic_crop.commands.show import show as show
from detic_crop.commands.split import SplitResult as SplitResult
from detic_crop.commands.split import split as split
from detic_crop.commands.status import status as status
from detic_crop.commands.status_result import StatusResult as StatusResult
from detic_crop.commands.teach import TeachResult as TeachResult
from detic_crop.commands.teach import teach as teach
from detic_crop.commands.verify import VerifyResult as VerifyResult
from detic_crop.commands.verify import verify as verify
