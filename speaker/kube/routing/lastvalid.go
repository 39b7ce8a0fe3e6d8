package routing

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/apiconv"
)

// lastValid has the parsed objects of a kind, by name. An edit that makes an object invalid leaves its
// last valid version in effect until it is corrected or deleted, so that a typo, or an object that it
// names and that arrives later, withdraws no route.
type lastValid[O client.Object, T any] map[string]T

// read returns the parsed objects, and calls wrong for those that are invalid, with
// whether they stay as they were.
func (k *lastValid[O, T]) read(objects []O, parse func(O) (T, *apiconv.SpecError), wrong func(name string, stays bool, err error)) []T {
	next, list := lastValid[O, T]{}, make([]T, 0, len(objects))
	for _, object := range objects {
		name := object.GetName()
		is, err := parse(object)
		if err != nil {
			before, stays := (*k)[name]
			wrong(name, stays, err)
			if !stays {
				continue
			}
			is = before
		}
		next[name] = is
		list = append(list, is)
	}
	*k = next
	return list
}
