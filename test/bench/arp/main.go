// Command arp measures how soon the speaker's responder answers ARP, next to the
// kernel of the same host, and what it costs to receive the requests of others. Two
// hosts are network namespaces joined by a link. The command needs root.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lbstack/lbstack/test/bench/asker"
)

// settle is the time before a responder is measured, until the
// announcements of its addresses have ended.
const settle = 12 * time.Second

func main() {
	requests := flag.Int("requests", 1000, "how many requests are answered in each line")
	owned := flag.String("owned", "1,5000", "how many addresses are owned, with commas between several numbers")
	flood := flag.Int("flood", 10000, "how many requests for other addresses come in each second")
	seconds := flag.Int("seconds", 10, "how long they come")
	serve := flag.Int("serve", 0, "for the program itself: be a responder with so many addresses until the input ends")
	flag.Parse()
	var err error
	if *serve > 0 {
		err = beResponder(*serve)
	} else {
		err = run(*requests, *owned, *flood, *seconds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "arp:", err)
		os.Exit(1)
	}
}

func run(requests int, owned string, flood, seconds int) (err error) {
	if requests < 1 || flood < 1000 || seconds < 1 {
		return errors.New("want at least one request, 1000 a second to flood with, and one second")
	}
	b, err := newBed()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	asking, err := asker.New(func(do func() error) error { return in(b.client, do) }, netip.MustParseAddr(clientAddress), processor)
	if err != nil {
		return err
	}
	defer asking.Close()
	fmt.Printf("| who answers | requests | mean | p50 | p99 | worst | CPU, idle | CPU, %d foreign requests/s |\n|---|---|---|---|---|---|---|---|\n", flood)
	took, err := asking.Ask(netip.MustParseAddr(serverAddress), requests)
	if err != nil {
		return err
	}
	fmt.Println(row("the kernel, for an address of its own", took, "", ""))
	for item := range strings.SplitSeq(owned, ",") {
		n, err := strconv.Atoi(item)
		if err != nil || n < 1 {
			return fmt.Errorf("-owned: %q is not a number of addresses", item)
		}
		if err := b.measure(asking, n, requests, flood, seconds); err != nil {
			return fmt.Errorf("with %d owned addresses: %w", n, err)
		}
	}
	return nil
}

// measure prints the line of a responder with a number of addresses.
func (b *bed) measure(asking *asker.Asker, owned, requests, flood, seconds int) error {
	r, err := b.startResponder(owned)
	if err != nil {
		return err
	}
	defer r.stop()
	time.Sleep(settle)
	took, err := asking.Ask(ownedAddress(owned/2), requests)
	if err != nil {
		return err
	}
	idle, err := r.share(func() error { time.Sleep(5 * time.Second); return nil })
	if err != nil {
		return err
	}
	busy, err := r.share(func() error { return asking.Flood(flood, seconds) })
	if err != nil {
		return err
	}
	fmt.Println(row(fmt.Sprintf("the responder, %d owned", owned), took, percent(idle), percent(busy)))
	return nil
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

func row(who string, took []time.Duration, idle, busy string) string {
	slices.Sort(took)
	var sum time.Duration
	for _, d := range took {
		sum += d
	}
	n := len(took)
	us := func(d time.Duration) string { return fmt.Sprintf("%d µs", d.Microseconds()) }
	return fmt.Sprintf("| %s | %d | %s | %s | %s | %s | %s | %s |", who, n,
		us(sum/time.Duration(n)), us(took[n/2]), us(took[n*99/100]), us(took[n-1]), idle, busy)
}
