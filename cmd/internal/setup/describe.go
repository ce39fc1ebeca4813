package setup

import (
	"reflect"

	"tweetqueue/store"
)

// Setting is a setting of the environment, for people: help texts and the README's table.
type Setting struct {
	Name    string // of the environment variable
	Default string // the value that counts where it is not set; empty: none
	Help    string // what it is, in which unit
	Secret  bool   // it can be read from the file that NAME_FILE names instead
}

// Describe lists the settings that structs hold, in their order: the fields with a tag
//
//	`setting:"NAME" default:"VALUE" help:"..."`
//
// and those of the structs among their fields. Fields that can be secret are of type
// [store.Secret].
func Describe(structs ...any) []Setting {
	var settings []Setting
	for _, s := range structs {
		settings = append(settings, describe(reflect.TypeOf(s))...)
	}
	return settings
}

func describe(t reflect.Type) []Setting {
	var settings []Setting
	for field := range t.Fields() {
		if name, ok := field.Tag.Lookup("setting"); ok {
			settings = append(settings, Setting{
				Name: name, Default: field.Tag.Get("default"), Help: field.Tag.Get("help"),
				Secret: field.Type == reflect.TypeFor[store.Secret](),
			})
		} else if field.Type.Kind() == reflect.Struct {
			settings = append(settings, describe(field.Type)...)
		}
	}
	return settings
}
