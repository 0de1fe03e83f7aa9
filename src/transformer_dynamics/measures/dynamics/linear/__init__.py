"""Linear maps from states to updates, fitted on some texts and scored on others."""
