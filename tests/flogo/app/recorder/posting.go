package recorder

import (
	"sync"

	"flowtrail.test/flogo-app/stateservice"
	"github.com/project-flogo/core/support/log"
)

const (
	starts    = "/v1/instances/start"
	steps     = "/v1/instances/steps"
	snapshots = "/v1/instances/snapshot"
	ends      = "/v1/instances/end"
)

// Each request is answered before the flow goes on.
type synchronous struct {
	client *stateservice.Client
}

func (s *synchronous) start(_ string, body []byte) error { return s.client.Post(starts, body, false) }
func (s *synchronous) step(_ string, body []byte) error  { return s.client.Post(steps, body, false) }
func (s *synchronous) snapshot(_ string, body []byte) error {
	return s.client.Post(snapshots, body, false)
}
func (s *synchronous) end(_ string, body []byte) error { return s.client.Post(ends, body, false) }
func (s *synchronous) flush()                          {}

// The flow goes on at once. An end waits for its start; steps wait for nothing, so they may come in any order, and
// after the end.
type asynchronous struct {
	client  *stateservice.Client
	pending sync.WaitGroup
	mutex   sync.Mutex
	// Closed when the latest start of the instance has been answered.
	started map[string]chan struct{}
}

func newAsynchronous(client *stateservice.Client) *asynchronous {
	return &asynchronous{client: client, started: map[string]chan struct{}{}}
}

func (a *asynchronous) start(instance string, body []byte) error {
	answered := make(chan struct{})
	a.mutex.Lock()
	a.started[instance] = answered
	a.mutex.Unlock()
	a.pending.Go(func() {
		defer close(answered)
		a.post(starts, body)
	})
	return nil
}

func (a *asynchronous) step(_ string, body []byte) error {
	a.pending.Go(func() { a.post(steps, body) })
	return nil
}

func (a *asynchronous) snapshot(_ string, body []byte) error {
	a.pending.Go(func() { a.post(snapshots, body) })
	return nil
}

func (a *asynchronous) end(instance string, body []byte) error {
	a.pending.Go(func() { a.postEnd(instance, body) })
	return nil
}

func (a *asynchronous) flush() { a.pending.Wait() }

// Nobody waits for the outcome, so it can only be logged.
func (a *asynchronous) post(path string, body []byte) {
	if err := a.client.Post(path, body, true); err != nil {
		log.RootLogger().Warnf("not recorded: %v", err)
	}
}

func (a *asynchronous) postEnd(instance string, body []byte) {
	a.mutex.Lock()
	answered := a.started[instance]
	a.mutex.Unlock()
	<-answered
	a.post(ends, body)
}

// The worst order that asynchronous posting can come to, made certain: the start, the end, then the steps from the last
// to the first.
type reversed struct {
	*asynchronous
	holding sync.Mutex
	// Steps of instances that have not ended.
	held map[string][][]byte
}

func newReversed(client *stateservice.Client) *reversed {
	return &reversed{asynchronous: newAsynchronous(client), held: map[string][][]byte{}}
}

func (r *reversed) step(instance string, body []byte) error {
	r.holding.Lock()
	defer r.holding.Unlock()
	r.held[instance] = append(r.held[instance], body)
	return nil
}

func (r *reversed) end(instance string, body []byte) error {
	r.holding.Lock()
	held := r.held[instance]
	delete(r.held, instance)
	r.holding.Unlock()
	r.pending.Go(func() {
		r.postEnd(instance, body)
		for i := len(held) - 1; i >= 0; i-- {
			r.post(steps, held[i])
		}
	})
	return nil
}
