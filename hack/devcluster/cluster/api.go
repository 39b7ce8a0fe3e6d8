// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"
)

const (
	pollInterval   = 100 * time.Millisecond
	requestTimeout = 5 * time.Second
)

// pollUntilSuccess calls fn until it succeeds. If ctx is done first, the error wraps the error
// of ctx and the last error of fn.
func pollUntilSuccess(ctx context.Context, fn func(context.Context) error) error {
	for {
		err := fn(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; the last error: %w", ctx.Err(), err)
		case <-time.After(pollInterval):
		}
	}
}

// apiClient is a client of the API server with only the requests that Up and Status need.
type apiClient struct {
	client *http.Client
	base   string
}

// statusError is a response of the API server with an error status.
type statusError struct {
	code int
	body string
}

func (e *statusError) Error() string { return fmt.Sprintf("HTTP status %d: %.200s", e.code, e.body) }

func (c *Cluster) newAPIClient() (*apiClient, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.pkiDir(), "admin.crt"), filepath.Join(c.pkiDir(), "admin.key"))
	if err != nil {
		return nil, fmt.Errorf("reading the administrator's certificate: %w", err)
	}
	ca, err := c.readPKI("ca.crt")
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &apiClient{
		client: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}},
		}},
		base: c.serverURL(),
	}, nil
}

func (a *apiClient) doRequest(ctx context.Context, method, path, contentType string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	request.Header.Set("Content-Type", contentType)
	response, err := a.client.Do(request)
	if err != nil {
		return fmt.Errorf("sending a request to the API server: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading the API server's answer: %w", err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %w", method, path, &statusError{response.StatusCode, string(answer)})
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: decoding the answer: %w", method, path, err)
	}
	return nil
}

func (a *apiClient) get(ctx context.Context, path string, out any) error {
	return a.doRequest(ctx, http.MethodGet, path, "", nil, out)
}

// createIfAbsent creates the object unless an object of that name exists.
func (a *apiClient) createIfAbsent(ctx context.Context, collection string, object any) error {
	err := a.doRequest(ctx, http.MethodPost, collection, "application/json", object, nil)
	if failed := (*statusError)(nil); errors.As(err, &failed) && failed.code == http.StatusConflict {
		return nil
	}
	return err
}

func (a *apiClient) mergePatch(ctx context.Context, path string, patch any) error {
	return a.doRequest(ctx, http.MethodPatch, path, "application/merge-patch+json", patch, nil)
}

func (c *Cluster) serverURL() string { return fmt.Sprintf("https://127.0.0.1:%d", c.port) }

// awaitAPI waits until the API server is ready.
func (c *Cluster) awaitAPI(ctx context.Context) error {
	client, err := c.newAPIClient()
	if err != nil {
		return err
	}
	err = pollUntilSuccess(ctx, func(ctx context.Context) error { return client.get(ctx, "/readyz", nil) })
	if err != nil {
		return fmt.Errorf("waiting for the API server: %w", err)
	}
	return nil
}
