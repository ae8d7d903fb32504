# Stops one server when flowtrail is gone, however it went: the kernel closes the pipe that this reads from.
# First line: the server's process id, the signal that asks it to stop, the seconds it has to do so.
# Any second line: flowtrail has stopped it itself.
trap '' HUP INT TERM

# When the process began: another process that gets its number later began later. Nothing if it has ended.
began() {
	if [ -d /proc/self ]; then
		stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
		set -- ${stat##*)}
		[ "$1" = Z ] || echo "${20}"
	else
		ps -o lstart= -p "$1"
	fi
}

read -r pid signal seconds || exit 0
start=$(began "$pid")
alive() { [ -n "$start" ] && [ "$(began "$pid")" = "$start" ]; }
read -r released && exit 0

alive || exit 0
kill -s "$signal" "$pid"
# A paused server hears nothing until it goes on.
kill -s CONT "$pid"
tries=$((seconds * 10))
while alive && [ "$tries" -gt 0 ]; do
	sleep 0.1
	tries=$((tries - 1))
done
if alive; then kill -s KILL "$pid"; fi
