// Package checkpoint stores on the node what a speaker must know to work when the API
// server is away: what the cluster wanted last, what the node claimed, and where
// the other speakers are. There is no secret in it.
package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/lbstack/lbstack/internal/lb"
	"github.com/lbstack/lbstack/internal/ownership"
	"github.com/lbstack/lbstack/speaker/layer2"
)

const (
	// format of the file; one of another format is not read.
	format = 1
	// largest is up to what size a file is read.
	largest = 64 << 20
	// mostHardware is how many hardware addresses are stored.
	mostHardware = 4096
	// hardwareBytes is how long one is: what is announced on is Ethernet.
	hardwareBytes = 6
	// settle collects the changes of a short time.
	settle = 500 * time.Millisecond
	// retry is how long after a failed write it is tried again, if nothing changes earlier.
	retry = 30 * time.Second
)

// Content is what is stored.
type Content struct {
	// Checkpoint is the part of the engine.
	layer2.Checkpoint
	// Peers are the other speakers' nodes and addresses; empty: there is none; nil: it was not
	// known yet.
	Peers map[lb.NodeName]netip.Addr
	// Outside are addresses that may be announced although their pool does not list them
	// any more, ordered.
	Outside []netip.Addr
}

// Announced returns the addresses that could be announced when this was written.
func (c Content) Announced() []netip.Addr {
	list := slices.Clone(c.Outside)
	for _, a := range c.Snapshot.Addresses {
		list = append(list, a.Address)
	}
	return list
}

// Store writes the content to a directory. Make it with Open.
type Store struct {
	// Changed is called, without a lock, when Problem gives another answer. Set it
	// before Run; nil: nobody is called.
	Changed func()

	path string
	log  logr.Logger
	wake chan struct{} // holds one token when something is to be written

	writing sync.Mutex // held for a whole Flush: the file has one writer at a time

	mu      sync.Mutex // guards what follows
	content Content
	problem error
}

// Open returns the store of a node in a directory, and what was stored there; nothing,
// if that cannot be read.
func Open(directory string, node lb.NodeName, log logr.Logger) (*Store, Content) {
	s := &Store{path: filepath.Join(directory, "speaker-"+string(node)+".json"), log: log, wake: make(chan struct{}, 1)}
	content, err := read(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Error(err, "the checkpoint of the node is not used")
	}
	s.content = content
	return s, content
}

// Save has the engine's part written, soon.
func (s *Store) Save(k layer2.Checkpoint) { s.change(func(c *Content) { c.Checkpoint = k }) }

// SavePeers has the others' addresses written, soon.
func (s *Store) SavePeers(peers map[lb.NodeName]netip.Addr) {
	s.change(func(c *Content) { c.Peers = peers })
}

// SaveOutside has the addresses written, soon, that may be announced although their pool
// does not list them any more.
func (s *Store) SaveOutside(list []netip.Addr) {
	s.change(func(c *Content) { c.Outside = list })
}

func (s *Store) change(write func(*Content)) {
	s.mu.Lock()
	write(&s.content)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run writes what changed until the context ends, and then once more.
func (s *Store) Run(ctx context.Context) {
	for {
		var again <-chan time.Time
		if s.Problem() != nil {
			again = time.After(retry)
		}
		select {
		case <-ctx.Done():
			s.Flush()
			return
		case <-s.wake:
		case <-again:
		}
		s.Flush()
		select {
		case <-ctx.Done():
		case <-time.After(settle):
		}
	}
}

// Problem is why the last write failed, nil if it did not.
func (s *Store) Problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem
}

// Flush writes what there is. A speaker that cannot write goes on without a checkpoint, and
// reports it. Any goroutine may call it.
func (s *Store) Flush() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	content := s.content
	s.mu.Unlock()
	s.note(write(s.path, content))
}

// note takes the result of a write. The same failure is logged once.
func (s *Store) note(err error) {
	s.mu.Lock()
	before := s.problem
	s.problem = err
	s.mu.Unlock()
	if text(before) == text(err) {
		return
	}
	if err != nil {
		s.log.Error(err, "the checkpoint is not written: a speaker that starts on this node while the API server is away announces nothing")
	}
	if s.Changed != nil {
		s.Changed()
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// file is the content as it is written. Addresses refer to their candidates by
// number, since many have the same.
type file struct {
	Format     int                        `json:"format"`
	Peers      map[lb.NodeName]netip.Addr `json:"peers,omitzero"`
	Claims     ownership.Claims           `json:"claims,omitempty"`
	Held       []netip.Addr               `json:"held,omitempty"`
	Outside    []netip.Addr               `json:"outside,omitempty"`
	Ours       []net.HardwareAddr         `json:"ours,omitempty"`
	Draining   map[lb.NodeName]bool       `json:"draining,omitempty"`
	Detection  layer2.Detection           `json:"detection,omitempty"`
	Candidates [][]layer2.Candidate       `json:"candidates,omitempty"`
	Addresses  []address                  `json:"addresses,omitempty"`
}

type address struct {
	Address    netip.Addr `json:"address"`
	Candidates int        `json:"candidates"`
}

// list identifies candidates that addresses share.
type list struct {
	first *layer2.Candidate
	count int
}

func write(path string, c Content) error {
	f := file{Format: format, Peers: c.Peers, Claims: c.Claims, Draining: c.Snapshot.Draining, Detection: c.Snapshot.Detection, Held: c.Held, Outside: c.Outside, Ours: c.Ours[:min(len(c.Ours), mostHardware)]}
	numbers := map[list]int{}
	for _, a := range c.Snapshot.Addresses {
		if len(a.Candidates) == 0 {
			f.Addresses = append(f.Addresses, address{a.Address, -1})
			continue
		}
		key := list{&a.Candidates[0], len(a.Candidates)}
		number, known := numbers[key]
		if !known {
			number = len(f.Candidates)
			numbers[key] = number
			f.Candidates = append(f.Candidates, a.Candidates)
		}
		f.Addresses = append(f.Addresses, address{a.Address, number})
	}
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encoding the checkpoint: %w", err)
	}
	if err := replace(path, text); err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	return nil
}

// replace writes a file so that after a power cut the old or the new text is there.
func replace(path string, text []byte) error {
	out, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func read(path string) (Content, error) {
	in, err := os.Open(path)
	if err != nil {
		return Content{}, fmt.Errorf("reading the checkpoint: %w", err)
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, largest))
	if err != nil {
		return Content{}, fmt.Errorf("reading %s: %w", path, err)
	}
	content, err := decode(text)
	if err != nil {
		return Content{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return content, nil
}

func decode(text []byte) (Content, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return Content{}, err
	}
	if f.Format != format {
		return Content{}, fmt.Errorf("it has the format %d, not %d", f.Format, format)
	}
	c := Content{Peers: f.Peers, Outside: f.Outside, Checkpoint: layer2.Checkpoint{Claims: f.Claims, Held: f.Held, Snapshot: layer2.Snapshot{Draining: f.Draining, Detection: f.Detection}}}
	for _, hardware := range f.Ours[:min(len(f.Ours), mostHardware)] {
		if len(hardware) != hardwareBytes {
			return Content{}, fmt.Errorf("a hardware address has %d bytes", len(hardware))
		}
		c.Ours = append(c.Ours, hardware)
	}
	for _, a := range f.Addresses {
		announced := layer2.Announced{Address: a.Address}
		if !a.Address.IsValid() {
			return Content{}, errors.New("an address is empty")
		}
		if a.Candidates >= len(f.Candidates) {
			return Content{}, fmt.Errorf("the candidates of %s are missing", a.Address)
		}
		if a.Candidates >= 0 {
			announced.Candidates = f.Candidates[a.Candidates]
		}
		c.Snapshot.Addresses = append(c.Snapshot.Addresses, announced)
	}
	return c, nil
}
