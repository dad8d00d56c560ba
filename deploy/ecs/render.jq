# Fills in a file of this folder: ${WORD} becomes the environment variable WORD, which must be set.
#   jq -f render.jq task-replicate.json
# What a variable holds is not looked into: the ${…} of a pipeline stay for the daemon to fill in.
walk(if type == "string" then gsub("\\$\\{(?<word>[A-Z_]+)\\}"; env[.word] // error("set and export " + .word)) else . end)
