package twitter

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMatchLinks compares texts with links.
func TestMatchLinks(t *testing.T) {
	t.Parallel()
	requirePairs(t, map[string]pair{
		"Link":            {sent: `{"text":"News: https://example.com/a?b=1&c=2#d now"}`, tweet: shows("News: https://t.co/a now", leads("a", "https://example.com/a?b=1&c=2#d")), want: Same},
		"LinkElsewhere":   {sent: `{"text":"News: https://example.com/a"}`, tweet: shows("News: https://t.co/a", leads("a", "https://example.com/b")), want: Possible},
		"LinkOtherText":   {sent: `{"text":"News: https://example.com/a"}`, tweet: shows("Olds: https://t.co/a", leads("a", "https://example.com/a")), want: Different},
		"LinkUntold":      {sent: `{"text":"News: https://example.com/a"}`, tweet: shows("News: https://t.co/a"), want: Possible},
		"LinkUntoldText":  {sent: `{"text":"News: https://example.com/a"}`, tweet: shows("Olds: https://t.co/a"), want: Different},
		"LinkMoved":       {sent: `{"text":"https://example.com/a News"}`, tweet: shows("News https://t.co/a", leads("a", "https://example.com/a")), want: Possible},
		"LinkMissing":     {sent: `{"text":"News https://example.com/a"}`, tweet: shows("News"), want: Possible},
		"LinkMore":        {sent: `{"text":"News"}`, tweet: shows("News https://t.co/a", leads("a", "https://example.com/a")), want: Possible},
		"LinkNotMade":     {sent: `{"text":"Open archive.zip now"}`, tweet: shows("Open archive.zip now"), want: Same},
		"LinkNotKnown":    {sent: `{"text":"Open example.nosuchtld/a, now"}`, tweet: shows("Open https://t.co/a, now", leads("a", "http://example.nosuchtld/a")), want: Same},
		"LinkNotKnownNor": {sent: `{"text":"Open example.nosuchtld/a, now"}`, tweet: shows("Open https://t.co/a, now", leads("a", "http://example.org/a")), want: Possible},
		"LinkNotKnownEnd": {sent: `{"text":"Open example.nosuchtld, now"}`, tweet: shows("Open https://t.co/a, now", leads("a", "http://example.nosuchtld/")), want: Same},
		"NoLinkForWords":  {sent: `{"text":"Open the 1.2 version now"}`, tweet: shows("Open https://t.co/a now", leads("a", "http://example.org/a")), want: Different},
		"NoLinkForWord":   {sent: `{"text":"Open it, now"}`, tweet: shows("Open https://t.co/a, now", leads("a", "http://example.org/a")), want: Different},
		"Unwound":         {sent: `{"text":"News https://example.com/a"}`, tweet: shows("News https://t.co/a", URLEntity{URL: "https://t.co/a", ExpandedURL: "https://bit.ly/x", UnwoundURL: "https://example.com/a"}), want: Same},
		"Bare":            {sent: `{"text":"See example.com."}`, tweet: shows("See https://t.co/a.", leads("a", "http://example.com")), want: Same},
		"BareSlash":       {sent: `{"text":"See example.com/ now"}`, tweet: shows("See https://t.co/a now", leads("a", "http://example.com")), want: Same},
		"Slash":           {sent: `{"text":"See https://example.com"}`, tweet: shows("See https://t.co/a", leads("a", "https://example.com/")), want: Same},
		"Scheme":          {sent: `{"text":"See HTTP://example.com"}`, tweet: shows("See https://t.co/a", leads("a", "https://example.com")), want: Same},
		"HostCase":        {sent: `{"text":"See Example.COM/A"}`, tweet: shows("See https://t.co/a", leads("a", "http://example.com/A")), want: Same},
		"PathCase":        {sent: `{"text":"See example.com/A"}`, tweet: shows("See https://t.co/a", leads("a", "http://example.com/a")), want: Possible},
		"Port":            {sent: `{"text":"See https://example.com:443/a"}`, tweet: shows("See https://t.co/a", leads("a", "https://example.com/a")), want: Same},
		"OtherPort":       {sent: `{"text":"See https://example.com:8443/a"}`, tweet: shows("See https://t.co/a", leads("a", "https://example.com/a")), want: Possible},
		"Percent":         {sent: `{"text":"See https://example.com/%c3%a9?q=%C3%A9"}`, tweet: shows("See https://t.co/a", leads("a", "https://example.com/é?q=é")), want: Same},
		"IDN":             {sent: `{"text":"See https://bücher.example.com/a and https://みんな.jp"}`, tweet: shows("See https://t.co/a and https://t.co/b", leads("a", "https://xn--bcher-kva.example.com/a"), leads("b", "https://みんな.jp/")), want: Same},
		"AmongLetters":    {sent: `{"text":"それはexample.comで"}`, tweet: shows("それはhttps://t.co/aで", leads("a", "http://example.com")), want: Same},
		"Short":           {sent: `{"text":"See https://t.co/abc"}`, tweet: shows("See https://t.co/abc", leads("abc", "https://example.com")), want: Same},
		"ShortAgain":      {sent: `{"text":"See https://t.co/abc"}`, tweet: shows("See https://t.co/xyz", leads("xyz", "https://example.com")), want: Possible},
		"ShortUntold":     {sent: `{"text":"See https://t.co/abc"}`, tweet: shows("See https://t.co/abc"), want: Same},
		"ShortWithQuery":  {sent: `{"text":"See https://t.co/abc?a=1&b=2"}`, tweet: shows("See https://t.co/abc?a=1&amp;b=2", URLEntity{URL: "https://t.co/abc?a=1&b=2", ExpandedURL: "https://t.co/abc?a=1&b=2"}), want: Same},
		"LinksAlike":      {sent: `{"text":"a.com b.com"}`, tweet: shows("https://t.co/ab https://t.co/a", leads("ab", "http://a.com"), leads("a", "http://b.com")), want: Same},
		"TwoLinks":        {sent: `{"text":"a.com b.com"}`, tweet: shows("https://t.co/a https://t.co/b", leads("a", "http://a.com"), leads("b", "http://b.com")), want: Same},
		"TwoLinksSwapped": {sent: `{"text":"a.com b.com"}`, tweet: shows("https://t.co/b https://t.co/a", leads("a", "http://a.com"), leads("b", "http://b.com")), want: Possible},
		"OnlyLink":        {sent: `{"text":"https://example.com/a"}`, tweet: shows("https://t.co/a", leads("a", "https://example.com/a")), want: Same},
		"OnlyLinkOther":   {sent: `{"text":"https://example.com/a"}`, tweet: shows("https://t.co/a", leads("a", "https://example.com/b")), want: Possible},
		"OnlyLinkForText": {sent: `{"text":"News"}`, tweet: shows("https://t.co/a", leads("a", "https://example.com/a")), want: Different},
		"TextForOnlyLink": {sent: `{"text":"https://example.com/a"}`, tweet: shows("News"), want: Different},
		"LinkAndEmoji":    {sent: `{"text":"👍 https://example.com/a"}`, tweet: shows("👎 https://t.co/a", leads("a", "https://example.com/a")), want: Different},
		"StrayMark":       {sent: `{"text":"https://example.com/a` + "\u0301" + `"}`, tweet: shows("https://t.co/a\u0301", leads("a", "https://example.com/a")), want: Same},
	})
}

// TestMatchLongText compares texts that X cuts off.
func TestMatchLongText(t *testing.T) {
	t.Parallel()
	words := strings.Repeat("word ", 80)
	long := `{"text":"Tom & ` + words + `see https://example.com/a end"}`
	start := "Tom &amp; " + words[:240]
	self := leads("s", "https://x.com/i/web/status/70")
	note := func(text string, urls ...URLEntity) Tweet {
		return shows(start+"… https://t.co/s", self).with(func(t *Tweet) { t.NoteTweet = &NoteTweet{Text: text, URLs: urls} })
	}
	whole := "Tom &amp; " + words + "see https://t.co/a end"
	requirePairs(t, map[string]pair{
		"Note":            {sent: long, tweet: note(whole, leads("a", "https://example.com/a")), want: Same},
		"NoteUnescaped":   {sent: long, tweet: note("Tom & "+words+"see https://t.co/a end", leads("a", "https://example.com/a")), want: Same},
		"NoteLinkUntold":  {sent: long, tweet: note(whole), want: Possible},
		"NoteOther":       {sent: long, tweet: note(strings.Replace(whole, "end", "so", 1), leads("a", "https://example.com/a")), want: Different},
		"NoteEmpty":       {sent: long, tweet: note(""), want: Possible},
		"NoteUntold":      {sent: long, tweet: shows(start+"… https://t.co/s", self), want: Possible},
		"NoteUntoldMedia": {sent: long[:len(long)-1] + `,"media":{"media_ids":["5"]}}`, tweet: shows(start+"… https://t.co/s https://t.co/p", self, photo("p")).hasMedia("3_5"), want: Possible},
		"NoEllipsis":      {sent: long, tweet: shows(start+" https://t.co/s", self), want: Possible},
		"NoSelf":          {sent: long, tweet: shows(start + "…"), want: Possible},
		"NotCut":          {sent: long, tweet: shows(start), want: Different},
		"CutOther":        {sent: long, tweet: shows("Jerry &amp; "+words[:240]+"… https://t.co/s", self), want: Different},
		"CutOfShort":      {sent: `{"text":"Doors open at 9"}`, tweet: shows("Doors… https://t.co/s", self), want: Different},
		"Whole":           {sent: long, tweet: shows(whole, leads("a", "https://example.com/a")), want: Same},
		"ShortForNote":    {sent: `{"text":"Tom & word"}`, tweet: note(whole), want: Different},
	})
}

func TestSameLink(t *testing.T) {
	t.Parallel()
	for _, same := range [][2]string{
		{"https://example.com", "HTTP://EXAMPLE.com/"},
		{"example.com/a/", "https://example.com/a"},
		{"https://example.com:443/", "http://example.com:80"},
		{"https://example.com/a%20b?c=%64#%65", "https://example.com/a b?c=d#e"},
		{"https://example.com/%zz/", "http://example.com/%zz"},
		{"https://example.com/?a=%zz", "http://example.com?a=%zz"},
		{"https://b\u00fccher.de/\u00e9", "https://xn--bcher-kva.de/e\u0301"},
	} {
		require.True(t, sameLink(same[0], same[1]), same)
	}
	for _, differ := range [][2]string{
		{"https://example.com/a", "https://example.com/A"},
		{"https://example.com/a", "https://example.com/a#b"},
		{"https://example.com/a", "https://example.com/a?b"},
		{"https://example.com:80/", "https://example.com/"},
		{"http://example.com:443/", "http://example.com/"},
		{"https://example.com/", "https://me@example.com/"},
		{"https://example.com/", "https://www.example.com/"},
		{"https://example.com/%zz", "https://example.com/%zy"},
		{"https://example.com/", "ftp://example.com/"},
	} {
		require.False(t, sameLink(differ[0], differ[1]), differ)
	}
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		"https://x.com/acme/status/20":               "20",
		"HTTP://www.Twitter.com/acme/status/20?s=20": "20",
		"mobile.twitter.com/acme/statuses/20/":       "20",
		"https://x.com/i/web/status/20/photo/1":      "20",
		"https://x.com/acme/status/":                 "",
		"https://x.com/acme/status/x":                "",
		"https://x.com/status":                       "",
		"https://example.com/acme/status/20":         "",
		"ftp://x.com/acme/status/20":                 "",
		"":                                           "",
	} {
		require.Equal(t, want, statusOf(link), link)
	}
	require.True(t, isMediaPage("https://x.com/acme/status/20/photo/1"))
	require.True(t, isMediaPage("https://x.com/acme/status/20/video/1"))
	require.False(t, isMediaPage("https://x.com/acme/status/20/likes"))
	require.False(t, isMediaPage("https://x.com/acme/photo/1"))
}
