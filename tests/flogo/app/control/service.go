// Package control is what the app answers beside its flows: the re-runs that people ask for in its vendor's console, and
// what a test needs to drive it.
package control

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"

	"flowtrail.test/flogo-app/activity/gate"
	"flowtrail.test/flogo-app/stateservice"
	"github.com/project-flogo/core/support/log"
	"github.com/project-flogo/core/support/service"
)

func init() {
	_ = service.RegisterFactory(&Factory{})
}

// Factory makes the service from engine.json; it has no settings there.
type Factory struct{}

// NewService takes the port from FLOGO_HTTP_SERVICE_PORT.
func (*Factory) NewService(*service.Config) (service.Service, error) {
	address := net.JoinHostPort("127.0.0.1", os.Getenv("FLOGO_HTTP_SERVICE_PORT"))
	rerun := &rerun{stateservice.Shared()}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /app/state/instance/restart", answer(rerun.fromTheBeginning))
	routes.HandleFunc("POST /app/state/task/restart", answer(rerun.fromActivity))
	routes.HandleFunc("POST /gate", answer(closeGate))
	routes.HandleFunc("GET /refusals", refusals)
	return &Service{http.Server{Addr: address, Handler: routes}}, nil
}

// Service is the HTTP server.
type Service struct {
	server http.Server
}

// Name is the service's name in the engine.
func (*Service) Name() string { return "Control" }

// Start listens before it returns: the engine starts services first, so an app whose flows answer can be controlled. The
// app ends if it can't: the engine would go on without the service, and another program might answer in its place.
func (s *Service) Start() error {
	listener, err := net.Listen("tcp", s.server.Addr)
	if err != nil {
		log.RootLogger().Errorf("control does not start: %v", err)
		os.Exit(1)
	}
	go func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.RootLogger().Errorf("control has ended: %v", err)
		}
	}()
	return nil
}

// Stop closes every connection.
func (s *Service) Stop() error { return s.server.Close() }

type closing struct {
	Name     string `json:"name"`
	Refusals int    `json:"refusals"`
}

// Makes a gate refuse.
func closeGate(request closing) (any, error) {
	gate.Close(request.Name, request.Refusals)
	return request, nil
}

// What the state service has refused.
func refusals(writer http.ResponseWriter, _ *http.Request) {
	write(writer, http.StatusOK, stateservice.Shared().Refusals())
}

// answer takes a body of one type to what is answered for it, both as JSON; an error is 500 with its text.
func answer[B any](handle func(B) (any, error)) http.HandlerFunc {
	return func(writer http.ResponseWriter, request *http.Request) {
		var body B
		if err := json.NewDecoder(request.Body).Decode(&body); err != nil {
			write(writer, http.StatusBadRequest, map[string]string{"msg": err.Error()})
			return
		}
		given, err := handle(body)
		if err != nil {
			write(writer, http.StatusInternalServerError, map[string]string{"msg": err.Error()})
			return
		}
		write(writer, http.StatusOK, given)
	}
}

func write(writer http.ResponseWriter, status int, given any) {
	writer.Header().Set("Content-Type", "application/json")
	writer.WriteHeader(status)
	if err := json.NewEncoder(writer).Encode(given); err != nil {
		log.RootLogger().Warnf("an answer was not taken: %v", err)
	}
}
