"""The rotate-and-stretch law: fits, residuals, growth of their variance over depth."""
