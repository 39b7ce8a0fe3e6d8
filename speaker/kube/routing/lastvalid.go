package routing

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/internal/apiconv"
)

// lastValid maps the name of each object of a kind to the last valid version of the object, in parsed form.
// An edit that makes an object invalid leaves that version in effect until the object is corrected or
// deleted. So neither a typo nor a reference to an object that is created later withdraws routes.
type lastValid[O client.Object, T any] map[string]T

// read returns the parsed objects. It calls the function wrong for each invalid object. The argument stays is
// true if a last valid version of the object exists, which stays in effect.
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
