from maker import wrap
from ops import f
stage = wrap(f)
