/* wish - what a key should be, and whether it is */
#include "wish.h"
#include "api_policy.h"
#include "clock.h"
#include <string.h>
#include <time.h>

enum { DAY_S = 86400 };

static int is_wish(const char *w)
{
	static const char *const words[] = {"ephemeral", "kept", "reusable", "one-off", "preauthorized"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (str_eq(w, words[i]))
			return 1;
	return str_starts(w, "tag:") && w[4];
}

int wish_add(struct wishes *w, char *list, struct why *why)
{
	for (char *one; (one = strsep(&list, ",")); ) {
		one += strspn(one, " ");
		one[strcspn(one, " ")] = 0;
		if (!is_wish(one))
			return why_set(why, R_USAGE, "--want %s: it is ephemeral, kept, reusable, one-off, preauthorized or tag:NAME", one);
		if (w->n == WISHES - 1)		/* one is for the days */
			return why_set(why, R_USAGE, "--want: more than %d", WISHES - 1);
		w->p[w->n++] = (struct wish){.text = one};
	}
	return 0;
}

static struct why *open_one(struct wishes *w, const char *text)
{
	w->p[w->n] = (struct wish){.text = text};
	return &w->p[w->n++].why;
}

static const char *list(char *dst, size_t size, const char (*tags)[64], int n)
{
	return n ? str_join(dst, size, tags, n, " ") : "none";
}

static void judge_flag(struct wishes *w, const char *text, const struct api_key *k)
{
	static const struct { const char *wish, *no; int field, want; } flags[] = {
		{"ephemeral", "it is not ephemeral", 0, 1}, {"kept", "it is ephemeral", 0, 0}, {"reusable", "it is a one-off", 1, 1},
		{"one-off", "it is reusable", 1, 0}, {"preauthorized", "it is not preauthorized", 2, 1},
	};
	const int have[] = {k->ephemeral, k->reusable, k->preauthorized};
	for (size_t f = 0; f < sizeof flags / sizeof *flags; f++) {
		if (!str_eq(text, flags[f].wish) || have[flags[f].field] == flags[f].want)
			continue;
		struct why *why = open_one(w, text);
		if (have[flags[f].field] >= 0) {
			why_set(why, R_WISH_UNMET, "%s", flags[f].no);
			continue;
		}
		why_set(why, R_CANNOT_TELL, "the API does not say what the key may do");
		why_hint(why, "ask with a credential that has auth_keys:read");
	}
}

void wish_of_key(struct wishes *w, const struct api_key *k)
{
	const struct wishes asked = *w;
	char all[400], date[48];
	const char *tags = list(all, sizeof all, k->tags, k->ntags);
	w->n = 0;
	for (int i = 0; i < asked.n; i++) {
		const char *text = asked.p[i].text;
		if (!str_starts(text, "tag:"))
			judge_flag(w, text, k);
		else if (!str_among(text, k->tags, k->ntags))
			why_set(open_one(w, text), R_WISH_UNMET, "it does not have %.64s; its tags: %s", text, tags);
	}
	if (w->warn_days >= 0 && k->expires && k->expires < time(NULL) + w->warn_days * DAY_S)
		why_set(open_one(w, "warn-days"), R_KEY_EXPIRING, "it expires on %s", clock_when(date, k->expires));
}

/* Are all of the client's tags among those that are asked for? */
static int wants_all(const struct wishes *w, const struct api *a)
{
	for (int t = 0; t < a->ntags; t++) {
		int found = 0;
		for (int i = 0; i < w->n; i++)
			found |= str_eq(w->p[i].text, a->tags[t]);
		if (!found)
			return 0;
	}
	return 1;
}

void wish_of_client(struct wishes *w, const struct api *a, long long deadline)
{
	const struct wishes asked = *w;
	char text[400];
	const char *tags = list(text, sizeof text, a->tags, a->ntags);
	int all = wants_all(w, a);
	w->n = 0;		/* what else is wished can be minted */
	for (int i = 0; i < asked.n; i++) {
		const char *tag = asked.p[i].text;
		if (!str_starts(tag, "tag:"))
			continue;
		int own = str_among(tag, a->tags, a->ntags);
		if (own && (all || a->headscale))
			continue;
		int owned = api_tag(a, tag, deadline);
		if (owned == API_TAG_OWNED)
			continue;
		struct why *why = open_one(w, tag);
		if (owned == API_TAG_UNDEFINED)
			why_set(why, R_TAG_UNDEFINED, "%.64s is not in the policy's tagOwners", tag);
		else if (own)
			why_set(why, R_TAG_REFUSED, "%.64s alone is refused: the client has %s, and Tailscale wants all of them, or tags that these own",
				tag, tags);
		else if (owned == API_TAG_FOREIGN)
			why_set(why, R_TAG_REFUSED, "%.64s is not owned by a tag of the client's: %s", tag, tags);
		else {
			why_set(why, R_CANNOT_TELL, "%.64s is not a tag of the client's (%s); whether these own it is in the policy", tag, tags);
			why_hint(why, "give the client the scope policy_file:read, or try: ts-keygen --tag TAG");
		}
	}
}
