import json
json.MARK = 1
