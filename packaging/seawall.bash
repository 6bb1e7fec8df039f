# bash completion for seawall; printed by `seawall doc completion`
_seawall() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[1]} options=''

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W 'init check serve status backup restore list show copy find wal cat verify adopt key help --help --version' -- "$word")
		return
	fi
	if [ "$command" = wal ]; then
		if [ "$COMP_CWORD" -eq 2 ]; then
			mapfile -t COMPREPLY < <(compgen -W 'push fetch list index' -- "$word")
			return
		fi
		command="wal ${COMP_WORDS[2]}"
	fi
	case $before in
	--config | --pgdata | --link-pgwal)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	esac
	case $command in
	'init') options='--pgdata --now --take-over --dry-run --config --json --verbose --quiet --help' ;;
	'check') options='--pgdata --no-segment --config --json --verbose --quiet --help' ;;
	'serve') options='--pgdata --dry-run --config --json --verbose --quiet --help' ;;
	'status') options='--config --json --verbose --quiet --help' ;;
	'backup') options='--label --full --fast --spread --pgdata --dry-run --config --json --verbose --quiet --help' ;;
	'restore') options='--to --before --including --timeline --pgdata --in-place --start --then --tablespace --link-pgwal --port --option --owner --without --plan --dry-run --config --json --verbose --quiet --help' ;;
	'list') options='--repository --config --json --verbose --quiet --help' ;;
	'show') options='--cluster --files --config --json --verbose --quiet --help' ;;
	'copy') options='--from --to --cluster --dry-run --config --json --verbose --quiet --help' ;;
	'find') options='--dropped --truncated --deleted --table --restore-points --xid --around --since --until --config --json --verbose --quiet --help' ;;
	'wal push') options='--cluster --restore --accept-damaged --dry-run --config --json --verbose --quiet --help' ;;
	'wal fetch') options='--cluster --restore --dry-run --config --json --verbose --quiet --help' ;;
	'wal list') options='--config --json --verbose --quiet --help' ;;
	'wal index') options='--rebuild --dry-run --config --json --verbose --quiet --help' ;;
	'cat') options='--cluster --config --json --verbose --quiet --help' ;;
	'verify') options='--rate --budget --anew --repository --dry-run --config --json --verbose --quiet --help' ;;
	'adopt') options='--new-generation --pgdata --dry-run --config --json --verbose --quiet --help' ;;
	'key list') options='--config --json --verbose --quiet --help' ;;
	'key add') options='--key-file --passphrase-file --key-command --dry-run --config --json --verbose --quiet --help' ;;
	'key rotate') options='--key-file --passphrase-file --key-command --dry-run --config --json --verbose --quiet --help' ;;
	'help') options='--config --json --verbose --quiet --help' ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
}
complete -o default -F _seawall seawall
