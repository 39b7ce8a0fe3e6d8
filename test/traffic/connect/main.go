// Command connect opens a new TCP connection to an address at a fixed interval,
// whether the earlier ones succeeded or not, and prints a line of JSON for each
// when it is known how it ended. It runs on the client host of a test bed.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/lbstack/lbstack/test/traffic"
)

func main() {
	address := flag.String("address", "", "host:port to connect to")
	interval := flag.Duration("interval", 5*time.Millisecond, "time between two connections")
	timeout := flag.Duration("timeout", 2*time.Second, "time that a connection may take")
	get := flag.String("get", "", "fetch this URL once, print the page, and end")
	flag.Parse()
	if *get != "" {
		if err := fetch(*get, *timeout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	connect(*address, *interval, *timeout)
}

func fetch(url string, timeout time.Duration) error {
	client := &http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(os.Stdout, io.LimitReader(answer.Body, 1<<16))
	return err
}

func connect(address string, interval, timeout time.Duration) {
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	for range time.Tick(interval) {
		go func() {
			a := traffic.Attempt{Begun: time.Now()}
			conn, err := net.DialTimeout("tcp", address, timeout)
			a.Ended, a.OK = time.Now(), err == nil
			if err == nil {
				_ = conn.Close()
			} else {
				a.Why, a.Cut = err.Error(), errors.Is(err, syscall.ECONNRESET)
			}
			mu.Lock()
			defer mu.Unlock()
			if err := out.Encode(a); err != nil {
				os.Exit(0) // nobody listens any more
			}
		}()
	}
}
