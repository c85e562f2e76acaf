"""Every code of a finding about a job, with what it means. docs/jobs.md shows this table.

Codes of rules (`rule.*`) are those of the rule language, docs/rule-language.md.
"""

from __future__ import annotations

from typing import Final

CODES: Final = {
    "yaml.syntax": ("error", "the text is not YAML; the message says which character to change"),
    "yaml.character": ("error", "a control character stands in the file"),
    "yaml.size": ("error", "the file is larger than 256 KiB"),
    "yaml.depth": ("error", "more than 32 lists and maps in one another"),
    "yaml.alias": ("error", "an alias without its anchor, or aliases that expand to too much"),
    "yaml.tag": ("error", "a tag such as `!!python/object`; jobs have no use for tags"),
    "yaml.key": ("error", "a list or a map stands where a key belongs"),
    "yaml.merge": ("error", "`<<` with something that is no map"),
    "yaml.duplicate": ("error", "one key twice in one map"),
    "yaml.template": ("error", "`{{ name }}` was not replaced by its value"),
    "yaml.documents": ("warning", "the file holds further documents after `---`; only the first is read"),
    "job.empty": ("error", "there is no job in the file"),
    "job.type": ("error", "a value of another kind than the attribute takes"),
    "job.indentation": ("error", "the job has lost its indentation on its way from a page into the file"),
    "job.heredoc": ("error", "the shell's `cat << EOF` and `EOF` are part of the file"),
    "job.placeholder": ("error", "`<VSN>`, `$NAME` or `{{ x }}` stands where a value belongs"),
    "job.key.unknown": ("error", "an attribute that does not exist, often a misspelt one"),
    "job.key.twice": ("error", "one attribute in two spellings"),
    "job.name.missing": ("error", "the job has no name"),
    "job.nodes.none": ("error", "neither nodes nor nodeTags"),
    "job.node.name": ("error", "a key under nodes that cannot be a VSN"),
    "job.node.value": ("warning", "a value under a node that has no effect"),
    "job.plugins.none": ("error", "no plugins"),
    "job.rules.none": ("warning", "no science rules: nothing ever runs"),
    "job.notification": ("error", "notificationOn names something that is no state of a job"),
    "job.email.missing": ("error", "notificationOn without email"),
    "job.email": ("error", "email is no address"),
    "plugin.name.missing": ("error", "a plugin without a name"),
    "plugin.name.form": ("error", "a plugin's name that Kubernetes or a cloud scheduler refuses"),
    "plugin.name.long": ("error", "a plugin's name of more than 63 characters (a warning above 56)"),
    "plugin.name.duplicate": ("error", "two plugins of one name"),
    "plugin.unscheduled": ("warning", "no rule schedules the plugin"),
    "plugin.image.missing": ("error", "the plugin does not say which image to run"),
    "plugin.image.form": ("error", "not an image reference"),
    "plugin.image.version": ("warning", "an image without a version"),
    "plugin.image.digest": ("warning", "nodes of the reference scheduler refuse images with a digest"),
    "plugin.image.upload": ("warning", "a version that the upload agent of a node does not ship files of"),
    "plugin.args.placeholder": ("warning", "an argument with something like `<CAMERA_IP>` in it"),
    "plugin.env": ("error", "not the name of a variable, or a secret that is not written `{secret.NAME.KEY}`"),
    "plugin.env.ours": ("warning", "a variable that the node sets itself"),
    "plugin.env.secret": ("warning", "looks like a secret and is passed as plain text"),
    "plugin.job": ("error", "an upload job that leads out of the upload folder"),
    "plugin.node": ("error", "no node can have this name"),
    "plugin.resource": ("error", "not a resource, not a quantity, or a request above its limit"),
    "plugin.selector": ("error", "no node can have this label"),
    "plugin.volume": ("error", "a volume without selector or node, or a path that cannot be mounted"),
    "plugin.pod": ("error", "no pod can be made of the plugin for another reason"),
    "rule.duplicate": ("warning", "the same rule twice"),
    "criterion.ignored": ("warning", "a success criterion that cannot be enforced; it never ends the job"),
}
"""Code to severity and meaning."""
