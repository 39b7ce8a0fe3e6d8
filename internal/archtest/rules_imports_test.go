package archtest

// pure are the packages below the line: they decide, and do nothing else.
var pure = []string{
	"./internal/lb/...", "./internal/ipam/...", "./internal/election/...",
	"./internal/delta/...", "./internal/routes/...", "./internal/bfd/...", "./internal/bgp", "./internal/bgp/session",
	"./internal/eligibility/...", "./internal/mesh/...", "./internal/ownership/...", "./internal/reports/...", "./internal/keyring/...", "./internal/preflight/...",
	"./internal/rollout/...",
}

// ImportRules are the import rules of the house.
var ImportRules = []ImportRule{
	{
		Name: "pure packages know nothing of Kubernetes", Of: pure,
		Forbid: []string{"k8s.io/...", "sigs.k8s.io/...", "./api/...", "./internal/apiconv/..."},
		Reason: "decisions are tested with plain values, and outlive any version of Kubernetes",
	},
	{
		Name: "pure packages open no sockets", Of: pure,
		Forbid: []string{"net", "net/http/...", "syscall/js", "golang.org/x/net/...", "github.com/mdlayher/...", "github.com/vishvananda/..."},
		Reason: "input and output belong in adapters; net/netip is all that a decision needs",
	},
	{
		Name: "pure packages log and count nothing", Of: pure,
		Forbid: []string{"log/...", "github.com/go-logr/...", "go.uber.org/...", "github.com/prometheus/..."},
		Reason: "a decision returns its reasons; the caller says what to do with them",
	},
	{
		Name: "pure packages touch neither the machine nor chance", Of: pure, Scope: direct,
		Forbid: []string{"os/...", "os", "syscall", "math/rand/...", "golang.org/x/sys/..."},
		Reason: "the same input must give the same answer on every machine",
	},
	{
		Name: "api imports only the vocabulary of Kubernetes", Of: []string{"./api/..."}, Scope: direct,
		AllowOnly: []string{"k8s.io/api/...", "k8s.io/apimachinery/..."},
		Reason:    "other projects import our types; they must not get our clients and our code with them",
	},
	{
		Name: "apiconv and validity use no client", Of: []string{"./internal/apiconv/...", "./internal/validity/..."},
		Forbid: []string{"k8s.io/client-go/...", "sigs.k8s.io/controller-runtime/..."},
		Reason: "they turn objects into values and results; whoever has the object does the reading",
	},
	{
		Name: "controllers do not import the speaker", Of: []string{"./controllers/..."},
		Forbid: []string{"./speaker/..."},
		Reason: "the two meet in API objects only, so that either can be replaced or restarted alone",
	},
	{
		Name: "the speaker does not import controllers", Of: []string{"./speaker/..."},
		Forbid: []string{"./controllers/..."},
		Reason: "the two meet in API objects only, so that either can be replaced or restarted alone",
	},
	{
		Name: "controllers open no raw sockets", Of: []string{"./controllers/..."}, Scope: everywhere,
		Forbid: []string{"github.com/mdlayher/...", "github.com/vishvananda/...", "golang.org/x/sys/..."},
		Reason: "they run unprivileged; what needs the kernel is the speaker's",
	},
	{
		Name: "only speaker/kube and speaker/app know Kubernetes", Of: []string{"./speaker/..."}, Except: []string{"./speaker/kube/...", "./speaker/app"},
		Forbid: []string{"k8s.io/...", "sigs.k8s.io/...", "./api/...", "./internal/apiconv/..."},
		Reason: "a node's engine must go on, and be testable, without an API server",
	},
	{
		Name: "only cmd imports speaker/app", Of: []string{Module + "/..."}, Scope: everywhere, Except: []string{"./cmd/...", "./speaker/app"},
		Forbid: []string{"./speaker/app"},
		Reason: "it puts the parts together; a part that needs it would import itself",
	},
	{
		Name: "the parts of a speaker do not import what carries Kubernetes to them", Of: []string{"./speaker/..."}, Except: []string{"./speaker/kube/...", "./speaker/app"},
		Forbid: []string{"./speaker/kube/..."},
		Reason: "facts go in and reports come out: imports run one way",
	},
	{
		Name: "nothing imports cmd, hack or test", Of: []string{Module + "/..."}, Scope: everywhere,
		Except: []string{"./cmd/...", "./hack/...", "./test/..."},
		Forbid: []string{"./cmd/...", "./hack/...", "./test/..."},
		Reason: "they are the ends of the graph: programs, tools and tests, free to change",
	},
	{
		Name: "programs import no tools and no tests", Of: []string{"./cmd/..."},
		Forbid: []string{"./hack/...", "./test/..."},
		Reason: "what is shipped holds no code of the workshop",
	},
	{
		Name: "the plugin stays out of the programs of the cluster", Of: []string{"./cmd/...", "./controllers/...", "./speaker/..."}, Except: []string{"./cmd/kubectl-lbstack"},
		Forbid: []string{"./internal/cli/...", "./internal/migrate/...", "github.com/spf13/cobra/...", "k8s.io/cli-runtime/..."},
		Reason: "a node has no use for the libraries of a command line",
	},
	{
		Name: "the plugin imports neither controllers nor the speaker", Of: []string{"./cmd/kubectl-lbstack", "./internal/cli/..."},
		Forbid: []string{"./controllers/...", "./speaker/..."},
		Reason: "it shares what decides; adapters of a program do not belong on the machine of an administrator",
	},
	{
		Name: "import uses no client and no code of others", Of: []string{"./internal/migrate/..."},
		Forbid: []string{"k8s.io/client-go/...", "sigs.k8s.io/controller-runtime/...", "k8s.io/cli-runtime/...", "go.universe.tf/...", "github.com/cilium/...", "github.com/kube-vip/..."},
		Reason: "objects in, a stack and a report out; formats are known by the names of their fields",
	},
	{
		Name: "tests compare with go-cmp", Of: []string{Module + "/..."}, Scope: everywhere,
		Forbid: []string{"github.com/stretchr/testify/...", "github.com/onsi/..."},
		Reason: "one way of writing tests: plain testing, got and want printed",
	},
}
