package tools_test

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

const dockerfile = "../Dockerfile"

// offline answers for every base image with an empty configuration, so that linting needs no registry.
type offline struct{}

func (offline) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config := fmt.Sprintf(`{"architecture":%q,"os":"linux","config":{},"rootfs":{"type":"layers"}}`, runtime.GOARCH)
	return ref, digest.FromString(config), []byte(config), nil
}

// lintDockerfile runs the checks of `docker build --check`, the experimental ones included, and returns
// each finding as "rule: detail".
func lintDockerfile(ctx context.Context, content []byte) ([]string, error) {
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", content)
	source.Definition = &llb.Definition{} // The linter dereferences it.
	content = append([]byte("# check=experimental=all\n\n"), content...)
	results, err := dockerfile2llb.DockerfileLint(ctx, content, dockerfile2llb.ConvertOpt{
		MetaResolver: offline{},
		SourceMap:    source,
	})
	if err != nil {
		return nil, fmt.Errorf("lint: %w", err)
	}
	var findings []string
	if results.Error != nil {
		findings = append(findings, results.Error.Message)
	}
	for _, warning := range results.Warnings {
		findings = append(findings, warning.RuleName+": "+warning.Detail)
	}
	return findings, nil
}

// parseDockerfile splits a Dockerfile into its stages.
func parseDockerfile(t *testing.T) []instructions.Stage {
	t.Helper()

	content, err := os.ReadFile(dockerfile)
	require.NoError(t, err)
	parsed, err := parser.Parse(bytes.NewReader(content))
	require.NoError(t, err)
	stages, _, err := instructions.Parse(parsed.AST, nil)
	require.NoError(t, err)
	return stages
}

func TestDockerfileLint(t *testing.T) {
	t.Parallel()

	content, err := os.ReadFile(dockerfile)
	require.NoError(t, err)
	findings, err := lintDockerfile(t.Context(), content)
	require.NoError(t, err)
	require.Empty(t, findings)
}

// TestDockerfileLintFindings proves that the linter sees what it is there for.
func TestDockerfileLintFindings(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]struct{ content, want string }{
		"Casing":      {"FROM scratch as build\nCOPY a /a\n", "FromAsCasing"},
		"Instruction": {"FROM debian:12\nRUNN true\n", "unknown instruction: RUNN"},
		"Secret":      {"FROM scratch\nARG X_API_SECRET\nCOPY a /a\n", "SecretsUsedInArgOrEnv"},
		"ShellForm":   {"FROM debian:12\nENTRYPOINT worker\n", "JSONArgsRecommended"},
		"Stage":       {"FROM debian:12 AS a\nFROM debian:12 AS a\n", "DuplicateStageName"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			findings, err := lintDockerfile(t.Context(), []byte(test.content))
			require.NoError(t, err)
			require.Contains(t, strings.Join(findings, "\n"), test.want)
		})
	}
}

func TestDockerfileStages(t *testing.T) {
	t.Parallel()

	stages := parseDockerfile(t)
	require.Len(t, stages, 2)

	t.Run("BaseImagesArePinned", func(t *testing.T) {
		t.Parallel()

		for _, stage := range stages {
			if stage.BaseName != "scratch" {
				require.Empty(t, imageFault(stage.BaseName))
			}
		}
	})

	t.Run("GoIsTheModulesVersion", func(t *testing.T) {
		t.Parallel()

		module, err := os.ReadFile("../go.mod")
		require.NoError(t, err)
		_, version, found := strings.Cut(string(module), "\ngo ")
		require.True(t, found)
		version = strings.Join(strings.SplitN(strings.Fields(version)[0], ".", 3)[:2], ".")
		require.Contains(t, stages[0].BaseName, "golang:"+version)
	})

	t.Run("RunsAsUserWithoutName", func(t *testing.T) {
		t.Parallel()

		// A number, because an image without a password file has no names, and because Kubernetes can
		// only then see that it is not root.
		var user, owner string
		var entrypoint []string
		for _, command := range stages[1].Commands {
			switch command := command.(type) {
			case *instructions.UserCommand:
				user = command.User
			case *instructions.EntrypointCommand:
				entrypoint = command.CmdLine
			case *instructions.CopyCommand:
				if command.DestPath == "/var/lib/" {
					owner = command.Chown
				}
			}
		}
		require.Regexp(t, `^[1-9][0-9]*:[1-9][0-9]*$`, user)
		require.Equal(t, user, owner, "the key's directory must belong to the user")
		require.Equal(t, []string{"worker"}, entrypoint)
	})
}

// TestDockerfileBuild runs the build stage's commands outside Docker, on what `.dockerignore` lets
// through, with /out moved to a temporary directory.
func TestDockerfileBuild(t *testing.T) {
	t.Parallel()

	stages := parseDockerfile(t)
	source, out := t.TempDir(), t.TempDir()
	copyContext(t, "..", source)

	for _, command := range stages[0].Commands {
		run, ok := command.(*instructions.RunCommand)
		if !ok {
			continue
		}
		line := strings.Join(run.CmdLine, " ")
		if line == "go mod download" {
			continue // Building fetches what is needed; this would fetch the whole graph.
		}
		shell := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(line, "/out", out))
		shell.Dir = source
		shell.Env = append(os.Environ(), "GOOS=linux")
		output, err := shell.CombinedOutput()
		require.NoError(t, err, "%s\n%s", line, output)
	}

	t.Run("BinariesAreStatic", func(t *testing.T) {
		t.Parallel()

		for _, name := range []string{"worker", "enqueue"} {
			binary, err := elf.Open(filepath.Join(out, "bin", name))
			require.NoError(t, err)
			require.Empty(t, staticFault(binary), name)
			require.NoError(t, binary.Close())
		}
	})

	t.Run("CopiedFilesExist", func(t *testing.T) {
		t.Parallel()

		copied := 0
		for _, command := range stages[1].Commands {
			files, ok := command.(*instructions.CopyCommand)
			if !ok {
				continue
			}
			require.Equal(t, "build", files.From)
			for _, path := range files.SourcePaths {
				if inside, found := strings.CutPrefix(path, "/out"); found {
					require.DirExists(t, filepath.Join(out, inside))
					copied++
				}
			}
		}
		require.Equal(t, 2, copied)
	})

	t.Run("KeyDirectoryIsPrivate", func(t *testing.T) {
		t.Parallel()

		info, err := os.Stat(filepath.Join(out, "state", "tweetqueue"))
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
	})
}

// TestStaticFault proves that the check for static binaries can fail.
func TestStaticFault(t *testing.T) {
	t.Parallel()

	needsLoader := &elf.Prog{ProgHeader: elf.ProgHeader{Type: elf.PT_INTERP}}
	require.Equal(t, "has an interpreter", staticFault(&elf.File{Progs: []*elf.Prog{needsLoader}}))
	require.Empty(t, staticFault(&elf.File{Progs: []*elf.Prog{{ProgHeader: elf.ProgHeader{Type: elf.PT_LOAD}}}}))
}

// staticFault says why a binary needs more than itself to start, or "".
func staticFault(binary *elf.File) string {
	for _, header := range binary.Progs {
		if header.Type == elf.PT_INTERP {
			return "has an interpreter"
		}
	}
	if libraries, err := binary.ImportedLibraries(); err == nil && len(libraries) > 0 {
		return "needs " + strings.Join(libraries, ", ")
	}
	return ""
}

// copyContext copies the files that Docker would send as the build's context.
func copyContext(t *testing.T, from, to string) {
	t.Helper()

	ignore, err := os.ReadFile(filepath.Join(from, ".dockerignore"))
	require.NoError(t, err)
	patterns, err := ignorefile.ReadAll(bytes.NewReader(ignore))
	require.NoError(t, err)
	matcher, err := patternmatcher.New(patterns)
	require.NoError(t, err)

	err = filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // Another test's temporary file.
		case err != nil:
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if relative == ".git" || relative == ".state" || relative == "bin" {
				return fs.SkipDir // Ignored all the same; only faster.
			}
			return nil
		}
		ignored, err := matcher.MatchesOrParentMatches(relative)
		if err != nil || ignored {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, relative)), 0o750); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, relative), content, 0o600)
	})
	require.NoError(t, err)
}
