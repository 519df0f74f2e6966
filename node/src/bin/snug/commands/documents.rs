//! `snug completions` and `snug man`: both are made from the command line's own definition, so they can't drift from it.

use std::collections::BTreeMap;
use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::{Cli, EXIT_STATUS};
use crate::failure::Failure;

/// Prints the completion script.
pub fn completions(shell: Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "snug", &mut script);
    write(&script)
}

/// Prints the manual page: the program, then each command with its flags.
pub fn man() -> Result<u8, Failure> {
    let mut command = Cli::command();
    command.build();
    let page = render(&command).map_err(|error| Failure::failed(format_args!("the manual page failed: {error}")))?;
    write(&page)
}

fn render(command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone().after_long_help(None::<&str>));
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for sub in leaves(command) {
        let name = sub.get_display_name().unwrap_or(sub.get_name()).replace('-', " ");
        let mut roff = Roff::new();
        roff.control("SH", [format!("COMMAND {}", name.to_uppercase()).as_str()]);
        roff.text([roman(sub.get_about().map(ToString::to_string).unwrap_or_default())]);
        roff.to_writer(&mut page)?;
        // Without the flags that every command takes: they stand above.
        let own = sub.clone().mut_args(|arg| {
            let global = arg.is_global_set();
            arg.hide(global)
        });
        clap_mangen::Man::new(own).render_options_section(&mut page)?;
    }
    render_environment(command, &mut page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    roff.control("nf", []);
    roff.text([roman(EXIT_STATUS.trim_start_matches("Exit status:\n"))]);
    roff.control("fi", []);
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// The variables that stand for flags.
fn render_environment(command: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let commands = [command].into_iter().chain(leaves(command));
    let args = commands.flat_map(clap::Command::get_arguments);
    let named = args.filter_map(|arg| Some((arg.get_env()?.to_str()?, arg.get_long()?)));
    let mut variables: BTreeMap<&str, String> = named
        .map(|(name, flag)| (name, format!("stands for --{flag}")))
        .collect();
    variables.insert(
        "SNUG_SERVER",
        "stands for --server where no invite names one".to_owned(),
    );
    variables.insert(
        "SNUG_LOG",
        "what --verbose logs, in the syntax of tracing's EnvFilter".to_owned(),
    );
    variables.insert("NO_COLOR", "turns colour off".to_owned());
    let mut roff = Roff::new();
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, what) in &variables {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(what.as_str())]);
    }
    roff.to_writer(page)
}

/// The commands that do something, in order.
fn leaves(command: &clap::Command) -> Vec<&clap::Command> {
    let subcommands = command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help" && !sub.is_hide_set());
    subcommands
        .flat_map(|sub| if sub.has_subcommands() { leaves(sub) } else { vec![sub] })
        .collect()
}

fn write(document: &[u8]) -> Result<u8, Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(document).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::failed(format_args!("standard output can't be written: {error}")))?;
    Ok(0)
}
