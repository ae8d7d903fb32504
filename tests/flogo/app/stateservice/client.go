// Package stateservice is the way to the service that keeps what flows did.
package stateservice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/project-flogo/flow/support"
)

// AsyncCalling is the header of a request that the service may answer before it has done anything.
const AsyncCalling = "Async-Calling"

// Client talks to one service. There is no timeout and nothing is tried twice, as in Flogo's own client.
type Client struct {
	endpoint string

	mutex    sync.Mutex
	refusals []string
}

// Shared is the client of the service that FLOGO_FLOW_SM_ENDPOINT names.
var Shared = sync.OnceValue(func() *Client {
	return &Client{endpoint: strings.TrimRight(os.Getenv("FLOGO_FLOW_SM_ENDPOINT"), "/")}
})

// Post sends a body that is JSON already. What is refused is remembered, but is no error: Flogo's own client does
// not look at the status.
func (c *Client) Post(path string, body []byte, async bool) error {
	request, err := http.NewRequest(http.MethodPost, c.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if async {
		request.Header.Set(AsyncCalling, "true")
	}
	_, err = c.send(request)
	if _, refused := err.(*Refusal); refused {
		return nil
	}
	return err
}

// Get reads an answer into a value.
func (c *Client) Get(path string, into any) error {
	answer, err := c.ask(http.MethodGet, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// Delete removes what the path names.
func (c *Client) Delete(path string) error {
	_, err := c.ask(http.MethodDelete, path)
	return err
}

// Refusals are the answers so far with a status of 300 or more.
func (c *Client) Refusals() []string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return append([]string{}, c.refusals...)
}

// Instance is the path of a flow instance.
func Instance(id string) string {
	return "/v1/instances/" + url.PathEscape(id)
}

// Reads and deletions say who asks; posts do not.
func (c *Client) ask(method, path string) ([]byte, error) {
	request, err := http.NewRequest(method, c.endpoint+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("username", support.GetUserName())
	return c.send(request)
}

func (c *Client) send(request *http.Request) ([]byte, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < http.StatusMultipleChoices {
		return answer, nil
	}
	refusal := &Refusal{request.Method, request.URL.Path, response.StatusCode, string(answer)}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.refusals = append(c.refusals, refusal.Error())
	return nil, refusal
}

// Refusal is an answer with a status of 300 or more.
type Refusal struct {
	Method, Path string
	Status       int
	Answer       string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s %s: %d %s", r.Method, r.Path, r.Status, strings.TrimSpace(r.Answer))
}
