package twitter

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestKindsIsComplete compares Kinds with the constants in the source.
func TestKindsIsComplete(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "kind.go", nil, 0)
	require.NoError(t, err)
	var declared []Kind
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		typ, ok := spec.Type.(*ast.Ident)
		require.True(t, ok && typ.Name == "Kind", "%s has no type Kind", spec.Names[0])
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		require.NoError(t, err)
		require.Regexp(t, `^[a-z]+(_[a-z]+)*$`, value)
		declared = append(declared, Kind(value))
		return true
	})
	require.ElementsMatch(t, declared, Kinds())
}
