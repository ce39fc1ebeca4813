package setup

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// Version is the program's: of the module as it was built, or "(devel)".
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// Help is a command's description, which ends with its settings.
func Help(description string, settings []Setting) string {
	var b strings.Builder
	b.WriteString(description)
	b.WriteString("\nSettings of the environment; a secret one is read from the file that NAME_FILE names, if that is set instead:\n")
	for _, s := range settings {
		fmt.Fprintf(&b, "\n  - %s: %s", s.Name, s.Help)
		if s.Default != "" {
			fmt.Fprintf(&b, " Default: %s", s.Default)
		}
	}
	return b.String()
}
