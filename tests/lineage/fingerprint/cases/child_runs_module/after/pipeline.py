import subprocess, sys
def stage(): return subprocess.run([sys.executable, "-m", "helper"], capture_output=True, text=True).stdout
