package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// plainFault is a Fault without its methods, so that encoding/json goes by its fields.
type plainFault Fault

// faultJSON is a Fault in JSON: its durations are text. Its fields hide those of the same name.
type faultJSON struct {
	plainFault

	Delay duration `json:"delay,omitzero"`
	Wait  duration `json:"wait,omitzero"`
}

// MarshalJSON writes the fault as UnmarshalJSON reads it.
func (f Fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(faultJSON{plainFault(f), duration(f.Delay), duration(f.Wait)})
}

// UnmarshalJSON reads an object with the fields that the tags of Fault and Match name. Durations are
// text, such as "250ms". A field that there is not is an error that names those that there are.
func (f *Fault) UnmarshalJSON(data []byte) error {
	if err := checkFields(data, reflect.TypeFor[Fault]()); err != nil {
		return fmt.Errorf("fault: %w", err)
	}
	var v faultJSON
	if err := unmarshal(data, &v); err != nil {
		return fmt.Errorf("fault: %w", err)
	}
	*f = Fault(v.plainFault)
	f.Delay, f.Wait = time.Duration(v.Delay), time.Duration(v.Wait)
	return nil
}

// unmarshal is json.Unmarshal, whose errors name the member at fault as JSON does.
func unmarshal(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		name := wrong.Field[strings.LastIndex(wrong.Field, ".")+1:]
		return fmt.Errorf("%s: a value of the kind %s is not what it takes", name, wrong.Value)
	}
	return err
}

// checkFields refuses JSON that is no object, and members of it that the struct has no tag for.
func checkFields(data []byte, of reflect.Type) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil || members == nil {
		return fmt.Errorf("it is no JSON object with any of %s", strings.Join(fieldNames(of), ", "))
	}
	known := fieldNames(of)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(known, name) {
			return fmt.Errorf("there is no field %q: use any of %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// fieldNames are the names in the JSON tags of a struct and those embedded in it, in their order.
func fieldNames(of reflect.Type) []string {
	var names []string
	for _, field := range reflect.VisibleFields(of) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// duration is a time.Duration that JSON has as text.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf(`%w: use text such as "250ms" or "15m"`, err)
	}
	*d = duration(parsed)
	return nil
}
