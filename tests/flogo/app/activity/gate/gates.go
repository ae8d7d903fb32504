package gate

import "sync"

// How often each gate still refuses; a gate that is not named here is open.
var (
	mutex    sync.Mutex
	refusals = map[string]int{}
)

// Close makes a gate refuse so many times; then it is open.
func Close(name string, times int) {
	mutex.Lock()
	defer mutex.Unlock()
	refusals[name] = times
}

// Whether the gate refuses this time, which counts as one refusal.
func refuses(name string) bool {
	mutex.Lock()
	defer mutex.Unlock()
	if refusals[name] <= 0 {
		return false
	}
	refusals[name]--
	return true
}
