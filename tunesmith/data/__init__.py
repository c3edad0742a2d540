from ..floors import require

require("pyarrow")
