import json
json.MARK = 2
