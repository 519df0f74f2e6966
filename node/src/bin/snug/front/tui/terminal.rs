//! The terminal's modes: set on entering, and given back however the program ends.

use std::io::{Stdout, Write as _, stdout};
use std::sync::Once;

use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange};
use crossterm::execute;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, SetTitle, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use snug::text::Untrusted;

use crate::failure::Failure;

/// The full screen. Dropping it gives the terminal back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    title: String,
}

impl Screen {
    /// Takes the terminal over; a panic gives it back before it is reported.
    pub fn open(room: &str) -> Result<Self, Failure> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                report(panic);
            }));
        });
        let title = format!("snug: {}", Untrusted::new(room).title());
        let terminal = Terminal::new(CrosstermBackend::new(stdout())).map_err(failed)?;
        let mut screen = Self { terminal, title };
        screen.enter()?;
        Ok(screen)
    }

    /// Draws.
    pub fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame<'_>)) -> Result<(), Failure> {
        self.terminal.draw(draw).map(drop).map_err(failed)
    }

    /// Draws from nothing the next time, whatever somebody else wrote on the screen.
    pub fn forget(&mut self) -> Result<(), Failure> {
        // Not `Terminal::clear`: that asks the terminal for its cursor, and the answer would go to whoever reads keys.
        self.terminal = Terminal::new(CrosstermBackend::new(stdout())).map_err(failed)?;
        execute!(stdout(), Clear(ClearType::All)).map_err(failed)
    }

    /// Gives the terminal back for a while; [`Screen::enter`] takes it again.
    pub fn suspend(&mut self) {
        restore();
    }

    /// Takes the terminal.
    pub fn enter(&mut self) -> Result<(), Failure> {
        enable_raw_mode().map_err(failed)?;
        execute!(
            stdout(),
            EnterAlternateScreen,
            EnableBracketedPaste,
            EnableFocusChange,
            SetTitle(self.title.as_str())
        )
        .map_err(failed)?;
        self.forget()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Undoes all of it; nothing can be done about a terminal that is gone.
fn restore() {
    let _ = execute!(
        stdout(),
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        SetTitle(""),
        Show
    );
    let _ = disable_raw_mode();
    let _ = stdout().flush();
}

fn failed(error: std::io::Error) -> Failure {
    Failure::failed(format_args!("the terminal can't be used: {error}")).help("try --plain")
}
