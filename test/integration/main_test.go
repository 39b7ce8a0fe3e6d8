package integration

import (
	"testing"

	"github.com/lbstack/lbstack/test/apiserver"
)

// server is the API server of all tests in this package. Each test uses
// namespaces, pools and addresses of its own and removes them.
var server *apiserver.Server

func TestMain(m *testing.M) {
	apiserver.Main(m, func(s *apiserver.Server) { server = s })
}
