package tools_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

const composeFile = "../docker-compose.yml"

// loadCompose reads a compose file as `docker compose --profile '*' config` does, in the given environment.
func loadCompose(ctx context.Context, file string, env ...string) (*types.Project, error) {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithEnv(env), cli.WithProfiles([]string{"*"}))
	if err != nil {
		return nil, fmt.Errorf("read options: %w", err)
	}
	return options.LoadProject(ctx)
}

// composeFaults lists what in a project breaks a rule that holds for every service: images pinned by a
// tag, ports on this machine alone, data in named volumes.
func composeFaults(project *types.Project) []string {
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(project.Services)) {
		service := project.Services[name]
		if fault := imageFault(service.Image); fault != "" {
			faults = append(faults, name+": "+fault)
		}
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				faults = append(faults, fmt.Sprintf("%s: port %d is published on %q, not on 127.0.0.1", name, port.Target, port.HostIP))
			}
		}
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeVolume || volume.Source == "" {
				faults = append(faults, fmt.Sprintf("%s: %s is no named volume", name, volume.Target))
			}
		}
		if service.Privileged {
			faults = append(faults, name+": privileged")
		}
	}
	return faults
}

// imageFault says why an image's name is not pinned, or "". A tag is the most that can be asked where no
// registry can be reached; a digest is better.
func imageFault(image string) string {
	name := image[strings.LastIndex(image, "/")+1:]
	switch _, tag, tagged := strings.Cut(name, ":"); {
	case strings.Contains(name, "@sha256:"):
		return ""
	case !tagged || tag == "":
		return fmt.Sprintf("image %q has no tag", image)
	case tag == "latest":
		return fmt.Sprintf("image %q is pinned to nothing", image)
	default:
		return ""
	}
}

func TestCompose(t *testing.T) {
	t.Parallel()

	project, err := loadCompose(t.Context(), composeFile, "X_API_KEY=key", "TWEETQUEUE_DB_PORT=6000")
	require.NoError(t, err)
	require.Empty(t, composeFaults(project))
	require.Equal(t, []string{"enqueue", "migrate", "postgres", "worker"}, slices.Sorted(maps.Keys(project.Services)))

	postgres, migrate := project.Services["postgres"], project.Services["migrate"]
	worker, enqueue := project.Services["worker"], project.Services["enqueue"]

	t.Run("PostgresHasHealthCheck", func(t *testing.T) {
		t.Parallel()

		require.NotNil(t, postgres.HealthCheck)
		require.Contains(t, postgres.HealthCheck.Test, "pg_isready")
		require.Contains(t, postgres.HealthCheck.Test, "--host=127.0.0.1", "the socket answers too early")
	})

	t.Run("PostgresKeepsItsData", func(t *testing.T) {
		t.Parallel()

		// From 18 on the image keeps its data in a directory of the major version below this one, and
		// refuses to start with a volume at the older images' place.
		require.Equal(t, "database", volumes(postgres)["/var/lib/postgresql"].Source)
		require.NotContains(t, volumes(postgres), "/var/lib/postgresql/data")
	})

	t.Run("PortIsConfigurable", func(t *testing.T) {
		t.Parallel()

		require.Len(t, postgres.Ports, 1)
		require.Equal(t, "6000", postgres.Ports[0].Published)
		for _, service := range []types.ServiceConfig{migrate, worker, enqueue} {
			require.Empty(t, service.Ports, service.Name)
		}
	})

	t.Run("EachWaitsForTheOneBefore", func(t *testing.T) {
		t.Parallel()

		require.Equal(t, types.ServiceConditionHealthy, migrate.DependsOn["postgres"].Condition)
		for _, service := range []types.ServiceConfig{worker, enqueue} {
			require.Equal(t, types.ServiceConditionHealthy, service.DependsOn["postgres"].Condition, service.Name)
			require.Equal(t, types.ServiceConditionCompletedSuccessfully, service.DependsOn["migrate"].Condition, service.Name)
		}
	})

	t.Run("OnlyLongRunningServicesRestart", func(t *testing.T) {
		t.Parallel()

		require.Equal(t, types.RestartPolicyUnlessStopped, postgres.Restart)
		require.Equal(t, types.RestartPolicyUnlessStopped, worker.Restart)
		require.Empty(t, migrate.Restart)
		require.Equal(t, []string{"cli"}, enqueue.Profiles)
	})

	t.Run("KeyIsMadeOnceAndReadByTheOthers", func(t *testing.T) {
		t.Parallel()

		require.Equal(t, types.ShellCommand{"migrate", "up", "--create-key"}, migrate.Command)
		for _, service := range []types.ServiceConfig{migrate, worker, enqueue} {
			file := service.Environment["TWEETQUEUE_KEY_FILE"]
			require.NotNil(t, file, service.Name)
			volume := volumes(service)[filepath.Dir(*file)]
			require.Equal(t, "key", volume.Source, service.Name)
			require.Equal(t, service.Name != "migrate", volume.ReadOnly, service.Name)
		}
	})

	t.Run("SettingsArePassedThrough", func(t *testing.T) {
		t.Parallel()

		for _, service := range []types.ServiceConfig{worker, enqueue} {
			require.Equal(t, "key", *service.Environment["X_API_KEY"], service.Name)
			require.Contains(t, service.Environment, "X_API_SECRET", service.Name)
			require.Nil(t, service.Environment["X_API_SECRET"], "%s: an absent setting must not become an empty one", service.Name)
		}
		require.NotContains(t, migrate.Environment, "X_API_KEY", "a migration needs no secret of X")
	})

	t.Run("ProgramRunsWithoutPrivileges", func(t *testing.T) {
		t.Parallel()

		for _, service := range []types.ServiceConfig{migrate, worker, enqueue} {
			require.True(t, service.ReadOnly, service.Name)
			require.Equal(t, []string{"ALL"}, service.CapDrop, service.Name)
			require.Empty(t, service.User, "the image's user holds")
		}
	})
}

// TestComposePassword runs the command of the service postgres with a stand-in for the image's own
// start-up script, which refuses an empty password.
func TestComposePassword(t *testing.T) {
	t.Parallel()

	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "docker-entrypoint.sh"),
		[]byte("#!/bin/sh\necho \"$1 $POSTGRES_PASSWORD\"\n"), 0o700))

	start := func(password string) string {
		project, err := loadCompose(t.Context(), composeFile, "TWEETQUEUE_DB_PASSWORD="+password)
		require.NoError(t, err)
		postgres := project.Services["postgres"]
		require.NotEmpty(t, postgres.Entrypoint)
		command := exec.CommandContext(t.Context(), postgres.Entrypoint[0], postgres.Entrypoint[1:]...)
		command.Env = []string{
			"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"),
			"POSTGRES_PASSWORD=" + *postgres.Environment["POSTGRES_PASSWORD"],
		}
		output, err := command.CombinedOutput()
		require.NoError(t, err, string(output))
		name, rest, _ := strings.Cut(strings.TrimSpace(string(output)), " ")
		require.Equal(t, "postgres", name)
		return rest
	}

	require.Equal(t, "chosen", start("chosen"))
	first, second := start(""), start("")
	require.Len(t, first, 44, "32 random bytes in base64")
	require.NotEqual(t, first, second)
}

// TestComposeFaults proves that the checks above can fail.
func TestComposeFaults(t *testing.T) {
	t.Parallel()

	for name, test := range map[string]struct{ service, want string }{
		"AnyAddress":   {"image: postgres:18.4\n    ports: ['5432:5432']", `db: port 5432 is published on "", not on 127.0.0.1`},
		"BindMount":    {"image: postgres:18.4\n    volumes: ['/srv/db:/var/lib/postgresql']", "db: /var/lib/postgresql is no named volume"},
		"Latest":       {"image: postgres:latest", `db: image "postgres:latest" is pinned to nothing`},
		"NoTag":        {"image: registry:5000/postgres", `db: image "registry:5000/postgres" has no tag`},
		"Privileged":   {"image: postgres:18.4\n    privileged: true", "db: privileged"},
		"BadCondition": {"image: postgres:18.4\n    depends_on: {db2: {condition: service_ready}}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			file := filepath.Join(t.TempDir(), "compose.yml")
			content := "name: test\nservices:\n  db2:\n    image: postgres:18.4\n  db:\n    " + test.service + "\n"
			require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
			project, err := loadCompose(t.Context(), file)
			if test.want == "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, []string{test.want}, composeFaults(project))
		})
	}
}

// volumes maps the mount points of a service to what is mounted there.
func volumes(service types.ServiceConfig) map[string]types.ServiceVolumeConfig {
	byTarget := map[string]types.ServiceVolumeConfig{}
	for _, volume := range service.Volumes {
		byTarget[volume.Target] = volume
	}
	return byTarget
}
