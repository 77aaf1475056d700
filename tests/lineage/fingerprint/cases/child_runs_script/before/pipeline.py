import subprocess, sys
def stage(): return subprocess.run([sys.executable, "scripts/helper.py"], capture_output=True, text=True).stdout
